package nfqueue

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// statsFile is the queue table of the calling thread's network namespace; in a
// plain /proc/net it would be that of the first thread. Only uid 0 may read it.
const statsFile = "/proc/thread-self/net/netfilter/nfnetlink_queue"

// Stats is what the kernel tells of a queue (seq_show in
// net/netfilter/nfnetlink_queue.c). With FAIL_OPEN, which Open sets, packets
// pass unseen in place of being dropped and are counted nowhere: there only
// ErrOverrun and a Waiting close to the maximum tell of them.
type Stats struct {
	PortID       uint32 // netlink port of the program that has it
	Waiting      uint32 // packets that wait for a verdict
	QueueDropped uint64 // packets dropped because the queue was full
	UserDropped  uint64 // packets dropped because the receive buffer was full
}

// ReadStats returns the counters of a queue. The error is fs.ErrNotExist if no
// program has it or the kernel has no queues at all.
func ReadStats(queue uint16) (Stats, error) {
	f, err := os.Open(statsFile)
	if err != nil {
		return Stats{}, fmt.Errorf("read the counters of queue %d: %w", queue, err)
	}
	defer func() { _ = f.Close() }()
	s, err := parseStats(f, queue)
	if err != nil {
		return Stats{}, fmt.Errorf("read the counters of queue %d: %w", queue, err)
	}
	return s, nil
}

func parseStats(r io.Reader, queue uint16) (Stats, error) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		var number, copyMode, copyRange uint32
		var s Stats
		n, err := fmt.Sscan(lines.Text(), &number, &s.PortID, &s.Waiting, &copyMode, &copyRange, &s.QueueDropped, &s.UserDropped)
		if n == 7 && err == nil && number == uint32(queue) {
			return s, nil
		}
	}
	if err := lines.Err(); err != nil {
		return Stats{}, err
	}
	return Stats{}, fs.ErrNotExist
}
