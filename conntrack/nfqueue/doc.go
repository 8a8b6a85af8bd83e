// Package nfqueue reads packets from a netfilter queue and gives verdicts.
//
// One Queue serves one queue number with one goroutine: Receive fills a batch of
// packets, whose payload lies in buffers that are reused, and Verdict answers
// each of them. The verdicts of a batch leave together, with the next Flush or
// Receive, in one datagram, which may also carry messages to ctnetlink: the kernel
// handles them one after another. It has done so when Flush returns:
// nfqnl_recv_verdict in net/netfilter/nfnetlink_queue.c reinjects within the system
// call. So what was appended before a verdict holds for its packet, and what is
// asked after the Flush has seen the packet.
//
// The queue is opened with FAIL_OPEN, so a full queue lets packets pass unseen
// instead of losing them, and without the GSO flag, so the kernel itself splits
// segments that were merged or not yet made and completes their checksums:
// every payload is one packet as it would be on the wire. Of the conntrack data that
// can ride on the packets (CONFIG_NETFILTER_NETLINK_GLUE_CT, which is not everywhere)
// the zone alone is read: two connections with the same addresses differ by nothing else.
//
// The socket comes from go-nfqueue. Binding and the loop are done here, see
// transport.go for why.
package nfqueue
