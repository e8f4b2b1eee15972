// SPDX-License-Identifier: MIT
/*
 * The frame writer's buffer against a plain array. Three bytes of input are one frame: its length,
 * and what it is filled with.
 */
#include "../../bpf/helper/frame_buffer.h"
#include "fuzz.h"

#define LONGEST 70000

static struct frame_buffer buffer;
static uint8_t expected[sizeof(buffer.bytes)];
static size_t used;

static void flush(void)
{
	CHECK(buffer.used == used);
	CHECK(!memcmp(buffer.bytes, expected, used));
	buffer.used = used = 0;
}

static void add(uint32_t length, uint8_t fill)
{
	struct tt_frame header = { .length = length, .type = fill };
	size_t size = length < sizeof(header) ? sizeof(header) : length;
	uint8_t *frame = malloc(size);
	enum frame_fit fit;

	CHECK(frame);
	memset(frame, fill, size);
	memcpy(frame, &header, sizeof(header));
	fit = frame_buffer_add(&buffer, frame);
	CHECK((fit == FRAME_BAD) == (length < sizeof(header) || length > sizeof(buffer.bytes)));
	if (fit == FRAME_NO_ROOM) {
		CHECK(used + length > sizeof(buffer.bytes));
		flush();
		fit = frame_buffer_add(&buffer, frame);
		CHECK(fit == FRAME_ADDED);
	}
	if (fit == FRAME_ADDED) {
		memcpy(expected + used, frame, length);
		used += length;
	}
	free(frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	buffer.used = used = 0;
	while (size) {
		uint32_t low = take_byte(&data, &size), high = take_byte(&data, &size);

		add((low | high << 8) * 3 % LONGEST, take_byte(&data, &size));
	}
	flush();
	return 0;
}
