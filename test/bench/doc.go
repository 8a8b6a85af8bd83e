// Bench compares ftpalg with the kernel's own FTP helper (K), with no gateway at all (N) and with a C
// program that accepts every packet one by one (Q), each in a network of its own
// on this machine. It needs root, and takes a few minutes.
//
//	go -C test/bench run . [-quick] [-ftpalg BINARY] [-write DIR]
//
// Every round takes one sample of each engine for each row, in another order each time, so that what
// else this machine does meets all alike. What is told is the median over the rounds, and the median,
// least and greatest of the ratios within a round. F is ftpalg of this tree, B the other binary.
package main
