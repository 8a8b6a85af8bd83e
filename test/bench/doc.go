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
//     come together: that is much where they are dear (1.42 of Q, where Q took 6.4 µs for a packet) and
//     no more than our own work where they are cheap (2.6 µs).
//   - PORT: a tenth are events: the kernel tells the number of the new expectation by one, and that the old
//     one goes by another, without which it would not be known that a firewall dropped what it let in. A
//     quarter are the verdicts. The expectation must be there before the line goes on, so that answer is
//     waited for.
//   - Whole sessions: even Q, which does nothing at all, has only 0.64 to 0.7 of what the kernel's helper
//     has: both processors are busy with client, server and kernel, and each packet's way to a program and
//     back is 7 to 17 µs of theirs. Sixteen packets of a session take it. Beside them there are three
//     questions to the kernel: for the entry of the new connection, for its door, and for what the data
//     connection carried. All of it is 47 µs more than Q's 76, or 62 more than its 171 where system calls
//     are dear.
//   - Short connections that are no FTP: two rules for each packet, and two events, of its beginning and its
//     end. Where somebody else hears of changes, as conntrackd does, there are some five more.
package main
