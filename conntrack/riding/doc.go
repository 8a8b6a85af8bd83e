// Package riding changes connection tracking by messages that ride in front of the verdicts of a queue.
//
// Nfnetlink does the messages of a datagram in order, whatever they are for. So what a packet needs of its
// entry, the state in its label and its offsets, is there when it goes on, without a wait and without a
// system call of its own. What the kernel refused is told afterwards. Only what decides about the next byte
// is waited for: what an entry is, and whether a connection is expected.
package riding
