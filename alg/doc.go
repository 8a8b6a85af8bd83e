// Package alg decides. It follows the dialogue of each FTP control connection,
// knows when a port may be opened and for whom, and what has to be written into
// a line so that the other side can use the address in it.
//
// [Gateway.Handle] is the way of a packet: view, session, stream, lines, decision,
// expectation, edit, verdict. It holds no socket: packets are byte slices
// and the kernel is the small interface [Kernel]. Package alg/ftp is the grammar
// of the lines, package rewrite the editor of the stream.
package alg
