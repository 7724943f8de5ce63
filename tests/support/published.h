/*
 * tests/support/published - what a device has published: the record at a path, its versions, its
 * text. Functions fail the running test when they cannot do what they say.
 */
#ifndef TESTS_SUPPORT_PUBLISHED_H
#define TESTS_SUPPORT_PUBLISHED_H

#include "tests/support/device.h"

/** For cmocka: a device of its own for each test. @state: struct device. */
int published_setup(void **state);
int published_teardown(void **state);
/** The record that has the path; false: none has. */
bool record_at(struct device *d, const char *path, struct rid *ret);
/** Whether one has, while the publisher works. */
bool is_recorded(struct device *d, const char *path);
int count_versions(struct device *d, const char *path);
/** How many changes the device has made. */
uint64_t changes(struct device *d);
/** Publishes all that is pending. */
void publish_all(struct device *d);
void assert_same_record(struct device *d, const char *path, const struct rid *rid);
/** Saves and publishes a file: its record. */
struct rid published(struct device *d, const char *path, const char *text);
void assert_text(struct device *d, const char *path, const char *text);

#endif
