// Package inspect is a dry run of the gateway on a capture: it tells which data
// channels would be opened and which refused.
//
// The packets of a capture go through the same [alg.Gateway] as those of a queue;
// in place of the kernel stands a table of the connections seen in the capture,
// without NAT.
package inspect
