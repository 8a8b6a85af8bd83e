// Bench compares ftpalg with the kernel's own FTP helper (K), with no gateway at all (N) and with a C
// program that accepts every packet one by one (Q), each in a network of its own
// on this machine. It needs root, and takes a few minutes.
//
//	go -C test/bench run . [-quick] [-ftpalg BINARY] [-profile] [-write DIR]
//
// Every round takes one sample of each engine for each row, in another order each time, so that what
// else this machine does meets all alike. What is told is the median over the rounds, and the median,
// least and greatest of the ratios within a round. F is ftpalg of this tree, B the other binary.
//
// # What is not reached, and why
//
// With -profile perf tells where the program's processor time goes (PROFILE.md). From that:
//
//   - Packets and NOOPs: nine tenths of a packet are the kernel's, which gives it out and brings it, with its
//     verdict, to its receiver. Q pays that too. What we save is system calls and messages, where packets
//     come together.
//   - PORT: an eighth are events: the kernel tells the number of the new expectation by one, and that the old
//     one goes by another, without which it would not be known that a firewall dropped what it let in. A
//     quarter are the verdicts. The expectation must be there before the line goes on, so that answer is
//     waited for.
//   - Whole sessions: there are as many as with Q, which does nothing at all and has 0.64 to 0.7 of what the
//     kernel's helper has. That is as far as anything can get that sees each packet: both processors are busy
//     with client, server and kernel.
//   - Short connections that are no FTP: two rules for each packet, and two events, of its beginning and its
//     end. Where somebody else hears of changes, as conntrackd does, there are some five more.
package main
