package nfqueue

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
)

// statsFile is the queue table of the calling thread's network namespace; in a
// plain /proc/net it would be that of the first thread. Only uid 0 may read it.
const statsFile = "/proc/thread-self/net/netfilter/nfnetlink_queue"

// Stats is what the kernel tells of a queue (seq_show in
// net/netfilter/nfnetlink_queue.c). With FAIL_OPEN, which Open sets, packets
// pass unseen in place of being dropped and are counted nowhere: Queue.Lost and
// Queue.WasFull tell of them.
type Stats struct {
	PortID       uint32 // netlink port of the program that has it
	Waiting      uint32 // packets that wait for a verdict
	QueueDropped uint64 // packets dropped because the queue was full
	UserDropped  uint64 // packets dropped because the receive buffer was full
	LastID       uint32 // id of the packet that was queued last
}

// ReadStats returns the counters of a queue. The error is fs.ErrNotExist if no
// program has it or the kernel has no queues at all.
func ReadStats(queue uint16) (Stats, error) {
	table, err := os.ReadFile(statsFile)
	if err != nil {
		return Stats{}, fmt.Errorf("read the counters of queue %d: %w", queue, err)
	}
	s, ok := parseStats(table, queue)
	if !ok {
		return Stats{}, fmt.Errorf("read the counters of queue %d: %w", queue, fs.ErrNotExist)
	}
	return s, nil
}

// parseStats finds the line of a queue in the table: its number, netlink port, packets
// that wait, copy mode, copy range, two counters of drops, last id, and a constant.
func parseStats(table []byte, queue uint16) (Stats, bool) {
	for len(table) > 0 {
		line, rest, _ := bytes.Cut(table, []byte("\n"))
		table = rest
		if f, ok := numbers(line); ok && f[0] == uint64(queue) {
			return Stats{
				PortID: uint32(f[1]), Waiting: uint32(f[2]),
				QueueDropped: f[5], UserDropped: f[6], LastID: uint32(f[7]),
			}, true
		}
	}
	return Stats{}, false
}

// numbers reads the first eight decimal numbers of a line.
func numbers(line []byte) (f [8]uint64, ok bool) {
	for i := range f {
		line = bytes.TrimLeft(line, " ")
		digits := 0
		for digits < len(line) && line[digits] >= '0' && line[digits] <= '9' {
			f[i] = f[i]*10 + uint64(line[digits]-'0')
			digits++
		}
		if digits == 0 {
			return f, false
		}
		line = line[digits:]
	}
	return f, true
}
