// Package sim is a world of user-space TCP around a program that has the queue of a gateway.
//
// A [World] has two ends that send lines to each other as a TCP does, a network on each side of the
// gateway that loses, repeats and reorders, and between them one or two gateways: each a [Kernel] with its
// copy of the connection's entry, its queue rules and its sequence adjustment, and a [Program]
// that may be killed before and after any call to the kernel. A step of the world is chosen at random
// from a seed, so that a run can be repeated. At the end [World.Check] compares line by line what each
// end has with what a perfect proxy would have given it.
package sim
