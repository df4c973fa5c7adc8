/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * A control connection of FTP through the tracker, with both ends. Each end counts what it has sent
 * and what it has received, as TCP does, and knows the other by the address that it sees: whatever
 * is translated on the way must fit.
 */
#ifndef TEST_CT_FTP_UTIL_H
#define TEST_CT_FTP_UTIL_H

#include "test_ct_util.h"

enum {
	CLIENT,
	SERVER
};

/** Who is known to whom by which address. */
struct ftp_path {
	const char *client, *client_seen; /**< differ: source translated */
	const char *server, *server_seen; /**< differ: destination translated */
};
extern const struct ftp_path ftp_plain4, ftp_snat4, ftp_dnat4, ftp_both4;
extern const struct ftp_path ftp_plain6, ftp_snat6, ftp_dnat6, ftp_both6;

struct ftp {
	struct ctkit *k;
	struct ftp_path path;
	uint16_t port;      /**< the client's ... */
	uint16_t port_seen; /**< ... as the server sees it */
	uint8_t helper;
	uint32_t mark;
	uint32_t sent[2]; /**< by end: the number that comes next */
	uint32_t rcvd[2]; /**< the same of what it has received */
	uint16_t dialled; /**< ftp_dial(): the port that the announcer saw the call come from */
};

/** One segment, in its sender's numbers. */
struct ftp_seg {
	uint32_t seq, ack;
	uint8_t flags;
	const char *text; /**< NULL: none */
	uint32_t sack[4]; /**< two blocks; all zero: none */
	bool odd;         /**< the SACK option lies at an odd offset */
	uint8_t pkt;      /**< CT_PKT_* */
	uint16_t head;    /**< bytes of the text in the first mbuf; 0: all */
	bool full;        /**< the mbuf has no room left */
	size_t pad;       /**< bytes behind the packet */
};

/** What becomes of it. */
struct ftp_got {
	uint8_t verdict, reason, state;
	uint32_t flow;
	uint32_t seq, ack, sack[4];
	uint8_t flags;
	char text[2048];
	size_t len;
};

/** A segment with what the end sends next. */
static inline struct ftp_seg
ftp_next(const struct ftp *f, unsigned int end, const char *text)
{
	return (struct ftp_seg){
		.seq = f->sent[end],
		.ack = f->rcvd[end],
		.flags = PKT_ACK | PKT_PSH,
		.text = text,
	};
}

/** A connection is opened from the client's port. */
void ftp_open(struct ftp *f, struct ctkit *k, const struct ftp_path *path, uint16_t port);
/** The handshake alone, with helper and mark from *f. */
void ftp_begin(struct ftp *f);
/** An end sends this segment; what leaves is checked against all rules of its headers. */
void ftp_send(struct ftp *f, unsigned int end, const struct ftp_seg *s, struct ftp_got *got);
/** An end sends a text that comes next; it has not been heard yet. */
void ftp_say(struct ftp *f, unsigned int end, const char *text, struct ftp_got *got);
/** The other end receives a segment, which must be what it waits for. */
void ftp_hear(struct ftp *f, unsigned int end, const struct ftp_got *got);
/** Say, and be heard and acknowledged. @return what was heard, until the next call */
const char *ftp_tell(struct ftp *f, unsigned int end, const char *text);
/** An end acknowledges what it has received. */
void ftp_ack(struct ftp *f, unsigned int end, struct ftp_got *got);

/** Where an announcement leads. */
struct ftp_target {
	char addr[64];
	uint16_t port;
};
/** Take an announcement apart, as it was heard; addr is that of who announces, if it says none. */
void ftp_read(const struct ftp *f, unsigned int announcer, const char *text, struct ftp_target *t);
/** Expectations of the connection at present. */
uint32_t ftp_expects(const struct ftp *f);
uint32_t ftp_flow(const struct ftp *f);
/**
 * The other end connects to what was announced, and is answered from the announcer's port.
 * @param port at the announcer, where it listens
 * @return ct_state of the SYN; 0: it did not come to where it was to
 */
uint8_t ftp_dial(struct ftp *f, unsigned int announcer, const struct ftp_target *t, uint16_t from,
	uint16_t port);

#endif
