// Package rewrite changes bytes inside a TCP stream that passes by, so that
// both ends see what a perfect proxy between them would give.
//
// [Packet] is a view of one IPv4 or IPv6 packet. [Stream] is the editor of one
// direction of one connection: it remembers, until the receiver acknowledges
// them, which bytes went out for which original bytes, so that the same
// sequence range always yields the same bytes, whatever the borders of a
// retransmission. It translates sequence numbers forward and acknowledgements
// back. [Offset] is what the kernel does to a packet after us; what a Stream
// wants on the wire is expressed through it.
//
// Two sequence spaces appear everywhere: original, as the sender counts, and
// final, as the receiver counts. Nothing here knows FTP.
package rewrite
