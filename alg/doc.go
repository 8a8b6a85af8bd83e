// Package alg is the gateway proper: it finds the session of a packet, joins its stream and its
// dialogue, opens and shuts the doors that the dialogue asks for, and stores in the kernel what
// must outlive the program.
//
// [Gateway.Handle] is the way of a packet: view and connection (package rewrite), session, dialogue
// (package alg/dialogue), door, edits, verdict. It holds no socket and starts no goroutine: packets are byte
// slices and the kernel is the small interface [Kernel]. What is allowed, and the reasons why
// something is not, are in package alg/policy; the grammar of the lines is in alg/ftp.
package alg
