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
//   - PORT: a quarter are events, which the kernel builds for those who listen: for two updates of the entry,
//     for the expectation that goes and the one that comes. We listen for what comes of data connections and
//     for other programs' writes; without (events: off) both stay unknown. Another quarter are the verdicts.
//     The expectation must be there before the line goes on, so that answer is waited for.
//   - Whole sessions: Q, which does nothing at all, has 0.66 to 0.7 of what the kernel's helper has. That is
//     as far as anything can get that sees each packet. Without events a session costs the program a fifth
//     less, and there are no more of them a second: both processors are busy with client, server and kernel.
package main
