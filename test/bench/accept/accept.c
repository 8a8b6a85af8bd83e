/* Accepts every packet of a netfilter queue, one by one: the measure for ftpalg's packet loop.
 * It does what a plain program with libnetfilter_queue does, with a queue as long as ftpalg's.
 * Usage: accept QUEUE */
#include <arpa/inet.h>
#include <errno.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <linux/netfilter.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { queue_length = 8192, receive_buffer = 16 << 20, copy_range = 0xffff };

static int accept_packet(struct nfq_q_handle *q, struct nfgenmsg *msg, struct nfq_data *data, void *arg)
{
	struct nfqnl_msg_packet_hdr *hdr = nfq_get_msg_packet_hdr(data);

	(void)msg;
	(void)arg;
	return hdr ? nfq_set_verdict(q, ntohl(hdr->packet_id), NF_ACCEPT, 0, NULL) : 0;
}

static void fail(const char *doing)
{
	perror(doing);
	exit(1);
}

int main(int argc, char **argv)
{
	static char buf[copy_range + 4096] __attribute__((aligned));
	struct nfq_handle *h;
	struct nfq_q_handle *q;
	int fd, size = receive_buffer;
	ssize_t n;

	if (argc != 2) {
		fprintf(stderr, "usage: accept QUEUE\n");
		return 2;
	}
	h = nfq_open();
	if (!h)
		fail("open nfnetlink_queue");
	q = nfq_create_queue(h, (uint16_t)atoi(argv[1]), accept_packet, NULL);
	if (!q)
		fail("bind the queue");
	if (nfq_set_mode(q, NFQNL_COPY_PACKET, copy_range) < 0)
		fail("set the copy mode");
	if (nfq_set_queue_maxlen(q, queue_length) < 0)
		fail("set the length of the queue");
	if (nfq_set_queue_flags(q, NFQA_CFG_F_FAIL_OPEN, NFQA_CFG_F_FAIL_OPEN) < 0)
		fail("set fail-open");
	fd = nfq_fd(h);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		fail("set the receive buffer");
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		n = recv(fd, buf, sizeof(buf), 0);
		if (n > 0)
			nfq_handle_packet(h, buf, (int)n);
		else if (n < 0 && errno != ENOBUFS && errno != EINTR)
			fail("receive");
	}
}
