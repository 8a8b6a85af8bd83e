package engine

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Usage is what a process has used since its start.
type Usage struct {
	CPU     time.Duration
	Wakeups uint64 // times that a thread slept and was woken
	RSS     uint64 // bytes
}

// PID is the number of the process of an engine that has one.
func (e *Engine) PID() int { return e.process.Process.Pid }

// Usage asks the kernel. An engine without a process has used nothing.
func (e *Engine) Usage() (u Usage, err error) {
	if e.process == nil {
		return u, nil
	}
	// Of a thread, schedstat has nanoseconds; the clock of stat is a hundred times coarser than we need.
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", e.process.Process.Pid)) // well-formed
	for _, t := range threads {
		cpu, err := os.ReadFile(t + "/schedstat")
		if os.IsNotExist(err) {
			continue // it has just ended
		}
		ns, _ := strconv.ParseUint(strings.Fields(string(cpu))[0], 10, 64)
		u.CPU += time.Duration(ns)
		u.Wakeups += statusField(t+"/status", "voluntary_ctxt_switches")
	}
	if u.CPU == 0 {
		return u, fmt.Errorf("%s has used no processor time: is it gone? Or CONFIG_SCHED_INFO missing?",
			e.Name)
	}
	u.RSS = statusField(fmt.Sprintf("/proc/%d/status", e.process.Process.Pid), "VmRSS") << 10
	return u, nil
}

func statusField(path, name string) uint64 {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	for l := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(l, name+":"); ok {
			n, _ := strconv.ParseUint(strings.Fields(rest)[0], 10, 64)
			return n
		}
	}
	return 0
}

// Queue is the state of the queues of a gateway, together.
type Queue struct {
	Waiting int // packets
	Seen    int // packets that were given a number, modulo 2^32 for each queue
}

// Queue reads it from the kernel. One without a queue is empty.
func (e *Engine) Queue() (q Queue, err error) {
	err = e.Net.Gateway.Do(func() error {
		text, err := os.ReadFile("/proc/thread-self/net/netfilter/nfnetlink_queue")
		if err != nil {
			return fmt.Errorf("reading the state of the queue: %w", err)
		}
		for l := range strings.Lines(string(text)) {
			f := strings.Fields(l) // number, portid, waiting, mode, range, dropped, user dropped, last id, 1
			waiting, err1 := strconv.Atoi(f[2])
			seen, err2 := strconv.Atoi(f[7])
			if err1 != nil || err2 != nil {
				return fmt.Errorf("the kernel says of its queue: %q", l)
			}
			q.Waiting += waiting
			q.Seen += seen
		}
		return nil
	})
	return q, err
}

// Settle waits until the queue is empty.
func (e *Engine) Settle() error {
	for end := time.Now().Add(patience); ; time.Sleep(200 * time.Microsecond) {
		q, err := e.Queue()
		if err != nil || q.Waiting == 0 {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d packets still wait in the queue of %s after %v", q.Waiting, e.Name,
				patience)
		}
	}
}

// Metrics are the program's own, by name and labels.
func (e *Engine) Metrics() (map[string]float64, error) {
	client := http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives:  true,
		DisableCompression: true, // the program's heap is measured, without what it compresses with
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return e.Net.Gateway.DialContext(ctx, network, address)
		},
	}}
	r, err := client.Get("http://127.0.0.1:9821/metrics")
	if err != nil {
		return nil, fmt.Errorf("asking %s for its metrics: %w", e.Name, err)
	}
	defer r.Body.Close()
	m := map[string]float64{}
	in := bufio.NewScanner(r.Body)
	for in.Scan() {
		if name, value, ok := strings.Cut(in.Text(), " "); ok && name != "#" {
			m[name], _ = strconv.ParseFloat(value, 64)
		}
	}
	return m, in.Err()
}
