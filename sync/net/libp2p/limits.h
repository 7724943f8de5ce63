/*
 * sync/net/libp2p/limits - every maximum of the libp2p peer, with its reason.
 *
 * Whoever is dialed, and whoever dials, is a stranger until the Noise handshake is over, and mostly
 * afterwards: each of these bounds the memory, the time or the sockets that one of them can cost.
 */
#ifndef SYNC_NET_LIBP2P_LIMITS_H
#define SYNC_NET_LIBP2P_LIMITS_H

enum {
    /* Connections. */
    P2P_CONNECTIONS = 64,     /* more than the devices of a space and a DHT's neighbours need */
    P2P_CONNECTIONS_NET = 16, /* inbound from one public network: no single one takes all places */
    P2P_NET_BITS_IP4 = 24,  /* the length of such a network's prefix: what one owner has at least */
    P2P_NET_BITS_IP6 = 48,  /* the same of IPv6 */
    P2P_INBOUND_RATE = 5,   /* a second, from one host: more is a flood */
    P2P_UPGRADES = 16,      /* connections before the end of their handshake: they are nobody's */
    P2P_UPGRADE_MS = 10000, /* for all of the handshake; the slowest real link needs less */
    P2P_DRAIN_MS = 30000,   /* in which a peer has to read something of what waits for it */
    P2P_BUFFERED_IN = 1 << 20,  /* bytes of a connection that wait here for whoever handles them */
    P2P_BUFFERED_OUT = 1 << 20, /* and that wait for the peer to read them */

    /* Dialing. */
    P2P_DIAL_ADDRS = 8,   /* of one peer: a list of others' hosts makes no flood of this device */
    P2P_DIAL_AT_ONCE = 3, /* of them */

    /* Streams. */
    P2P_STREAMS_IN = 128, /* inbound on a connection: a muxer opens them faster than they end */
    P2P_STREAMS_PROTOCOL = 16,  /* of them of one protocol */
    P2P_STREAMS_IDENTIFY = 1,   /* of identify: once on a connection is what it is for */
    P2P_STREAMS_PING = 2,       /* of ping: one, and one that ends */
    P2P_STREAM_IDLE_MS = 60000, /* a stream on which nothing moves for so long is reset */

    /* Addresses. */
    P2P_ADDRS = 32,       /* of one peer: all interfaces with each transport, and relays */
    P2P_ADDR_BYTES = 512, /* of one: a relay's with names is below 400 */
    P2P_ADDR_TEXT = 1024, /* characters of one: base58 and escapes make it longer */
    P2P_ADDR_NAME = 253,  /* a name of DNS */

    /* Negotiation of protocols (multistream-select). */
    P2P_NEGOTIATION_BYTES = 1024,   /* of a message; the cap of go, js and rust */
    P2P_NEGOTIATION_PROPOSALS = 16, /* answered on one stream, or a peer keeps it forever */
    P2P_NEGOTIATION_MS = 10000,     /* for all of it */

    /* Noise. */
    P2P_NOISE_HANDSHAKE = 4096, /* of a handshake's message: room for an RSA key, to refuse it */
    P2P_NOISE_MESSAGE = 65535,  /* of a message afterwards: its length has 2 bytes */
    P2P_NOISE_PLAIN = 65519,    /* of the plaintext in it */
    P2P_MUXERS = 16,            /* muxers in a handshake: there are three in all */

    /* identify. */
    P2P_IDENTIFY_MESSAGES = 10,  /* on one stream: go splits what is above 2 KiB */
    P2P_IDENTIFY_MESSAGE = 8192, /* bytes of one; the cap of go */
    P2P_IDENTIFY_SENT = 4096,    /* of the one that is sent; rust reads no more */
    P2P_PROTOCOLS = 64,          /* of a peer: a node of IPFS has some thirty */
    P2P_PROTOCOL_BYTES = 256,    /* of one */
    P2P_AGENT_BYTES = 128,       /* of the names of programs and versions */

    /* mDNS: whoever is on the network says what they like, for anyone's id. */
    P2P_MDNS_NAMES = 128,     /* that are remembered, each of one peer */
    P2P_MDNS_RECORDS = 128,   /* of a name: js has one for each address, seen on each interface */
    P2P_MDNS_BYTES = 1 << 20, /* of all records; of each peer that is sane, a few hundred */
    P2P_MDNS_CACHE = 512,     /* records that the library keeps, an interface and version of IP */
    P2P_MDNS_PACKET = 9000,   /* bytes of a packet, as RFC 6762 has it */
    P2P_MDNS_TXT = 4096,      /* of a TXT record: P2P_ADDRS of them; in memory 16 times as much */
    P2P_MDNS_STRING = 255,    /* of a string in it: its length has one byte */
    P2P_MDNS_SENT = 1100,     /* of all strings that are sent: they fit into one packet */
    P2P_MDNS_SETTLE_MS = 100, /* in which the records of a peer come, before it is told */
    P2P_MDNS_RETRY_MS = 1000, /* before another name is taken: some may be taken on purpose */

    /* Kademlia: whoever runs a node answers what they like, and ids cost nothing. */
    P2P_KAD_K = 20,              /* in a bucket, and told of in an answer; as all others have it */
    P2P_KAD_ALPHA = 3,           /* asked at once by a lookup */
    P2P_KAD_BUCKETS = 32,        /* the last has all that are nearer: of 2^32 peers, a few */
    P2P_KAD_BUCKET_NET = 2,      /* in a bucket of one public network: no single one fills it */
    P2P_KAD_FAILURES = 3,        /* one after the other: the peer is forgotten */
    P2P_KAD_STALE_MS = 900000,   /* unheard of for so long, a peer has to prove its place */
    P2P_KAD_MESSAGE = 64 * 1024, /* bytes: 52 peers with all addresses have 32 KiB */
    P2P_KAD_KEY = 80,            /* of a key: a hash of any kind, or a peer's id */
    P2P_KAD_PROVIDERS = 32,      /* of an answer that are read, and given */
    P2P_KAD_ADDRS = 8,           /* of a peer, as many as are dialed */
    P2P_KAD_ADDRS_BYTES = 512,   /* of all of them: 8 of IPv6 with a WebSocket have 250 */

    P2P_KAD_CANDIDATES = 256,    /* of a lookup */
    P2P_KAD_CANDIDATES_NET = 4,  /* of them in one public network: it is not flooded from here */
    P2P_KAD_QUERIES = 64,        /* of a lookup; an honest one has some 20 */
    P2P_KAD_QUERY_MS = 10000,    /* for a dial, the request and its answer */
    P2P_KAD_LOOKUP_MS = 60000,   /* for a lookup */
    P2P_KAD_REFRESH_MS = 600000, /* from one look around to the next */
    P2P_KAD_REFRESH_TAKES_MS = 10000, /* for each of its lookups */
    P2P_KAD_REFRESH_BITS = 10,        /* a key that begins so is found in 1000 guesses */
    P2P_KAD_LOOKUPS = 4,              /* that run at once */
    P2P_KAD_FINDS = 64,               /* that run or wait */

    P2P_KAD_DIALS_RATE = 4,   /* peers a second: 32 addresses, whatever others say */
    P2P_KAD_DIALS_BURST = 32, /* and at once */
    P2P_KAD_CONNECTIONS = 16, /* made for lookups: the others of P2P_CONNECTIONS are for devices */
    P2P_KAD_IDLE_MS = 30000,  /* one of them on which no stream is open is closed */
    P2P_KAD_BOOTSTRAPS = 16,  /* addresses that a person gave */
    P2P_KAD_BOOTSTRAP_MS = 30000, /* until they are dialed again, while nobody is known */

    P2P_KAD_PROVIDED = 256,            /* keys of this peer: of all its spaces, for some days */
    P2P_KAD_REPUBLISH_MS = 39600000,   /* 11 h: twice before others forget it */
    P2P_KAD_REPUBLISH_SOON_MS = 60000, /* when nobody took it */
    P2P_KAD_RECORDS = 2048,            /* of others: 1.5 MiB */
    P2P_KAD_RECORDS_KEY = 100,         /* of one key: more than a space has devices */
    P2P_KAD_RECORDS_SENDER = 128,      /* of one peer */
    P2P_KAD_RECORD_MS = 86400000,      /* 24 h: keys are of one day */
    P2P_KAD_STREAMS = 4                /* of it that a peer opens on a connection */
};

_Static_assert(P2P_NOISE_PLAIN + 16 == P2P_NOISE_MESSAGE, "a tag of 16 bytes");
_Static_assert(P2P_PROTOCOL_BYTES < P2P_NEGOTIATION_BYTES, "each protocol can be negotiated");
_Static_assert((P2P_KAD_K + P2P_KAD_PROVIDERS) * (P2P_KAD_ADDRS_BYTES + 100) <= P2P_KAD_MESSAGE,
               "an answer fits");
_Static_assert(P2P_KAD_ADDRS <= P2P_DIAL_ADDRS, "all of them can be dialed");

#endif
