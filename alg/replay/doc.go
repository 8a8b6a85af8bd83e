// Package replay runs the packets of a capture through a gateway, without a kernel: which data
// channels would be opened, which lines refused and why, and what the capture shows of each afterwards.
//
// [Run] reads a capture (pcap, pcapng or snoop, also in gzip or zstd) and tells an [Observer] what it
// finds as it happens. The packets go through the same [alg.Gateway] as those of a queue; in place of the
// kernel stands a table of the connections seen, with the NAT that the capture shows or [Options] names. What
// is kept is bounded: connections that ended or are idle leave, and beyond a number the longest idle one.
package replay
