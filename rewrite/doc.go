// Package rewrite changes bytes inside a TCP stream that passes by, so that
// both ends see what a perfect proxy between them would give.
//
// [Packet] is a view of one IPv4 or IPv6 packet. [Conn] is one connection: a packet comes in
// ([Conn.Receive]), out come the new bytes of a direction, and for the edits that somebody makes in them
// ([Conn.Take]) the packet to send ([Conn.Emit]). Inside it has a [Stream] for each direction, the
// editor: it remembers, until the receiver acknowledges
// them, which bytes went out for which original bytes, so that the same
// sequence range always yields the same bytes, whatever the borders of a
// retransmission, and it translates acknowledgements back. What of the numbers the kernel
// carries, and what a program that comes after this one must know, is [Kept].
//
// Two sequence spaces appear everywhere: original, as the sender counts, and
// final, as the receiver counts. Nothing here knows FTP, netlink or a clock.
package rewrite
