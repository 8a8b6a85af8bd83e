package profile

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// part is what stacks count for that have one of its functions.
type part struct {
	name  string
	funcs []string // with a * behind it: all that begin so
}

// parts are asked from the deepest function of a stack on, each function in this order.
var parts = []part{
	{"kernel: to sleep, and others first", []string{"__schedule"}},
	{"kernel: events built for those who listen",
		[]string{"ctnetlink_conntrack_event", "ctnetlink_expect_event"}},
	{"kernel: expectations made, timed and taken back",
		[]string{"ctnetlink_new_expect", "ctnetlink_del_expect"}},
	{"kernel: entries looked up and updated",
		[]string{"ctnetlink_new_conntrack", "ctnetlink_get_conntrack"}},
	{"kernel: packets on their way to the queue", []string{"nfqnl_enqueue_packet"}},
	{"kernel: verdicts, and their packets' way to the receiver",
		[]string{"nfqnl_recv_verdict", "nfqnl_recv_verdict_batch"}},
	{"reading packets", []string{"__sys_recvmmsg", "do_recvmmsg",
		pkg + "conntrack/nfqueue.(*Queue).Receive"}},
	{"reading events", []string{pkg + "conntrack.(*Listener).*", "main.(*events).*", "main.(*audience).*"}},
	{"the log", []string{"log/slog.*", "main.(*journal).*"}},
	{"Go: memory",
		[]string{"runtime.mallocgc*", "runtime.gcBgMarkWorker*", "runtime.bgsweep",
			"runtime.bgscavenge"}},
	{"Go: threads and timers",
		[]string{"runtime.mcall", "runtime.sysmon", "runtime.schedule",
			"runtime.mstart*"}},
	{"asking the kernel: messages, system calls",
		[]string{pkg + "conntrack*", "syscall.*", "internal/poll.*"}},
	{"streams, dialogues, doors and their fates",
		[]string{pkg + "alg*", pkg + "rewrite*"}},
	{"the loop, and what is not told apart", []string{"main.*"}},
}

const (
	pkg  = "github.com/ftpalg/ftpalg/"
	rest = "else"
)

// partOf returns what a stack counts for, the deepest function first.
func partOf(stack []string) string {
	for _, f := range stack {
		for _, p := range parts {
			for _, want := range p.funcs {
				prefix, all := strings.CutSuffix(want, "*")
				if f == want || all && strings.HasPrefix(f, prefix) {
					return p.name
				}
			}
		}
	}
	return rest
}

// Profile is how many stacks counted for which part, for each of several columns.
type Profile struct {
	columns []string
	counts  map[string]map[string]int // by column and part
}

// ready is what perf needs to begin, which it does not tell.
const ready = 300 * time.Millisecond

// Take takes the stacks of a process while f runs, for a column. Without perf that is an error, and f runs
// all the same.
func (p *Profile) Take(column string, pid int, f func() error) error {
	perf, err := exec.LookPath("perf")
	if err != nil {
		return errors.Join(f(), fmt.Errorf("profiling (install linux-perf): %w", err))
	}
	file, err := os.CreateTemp("", "ftpalg-profile-")
	if err != nil {
		return errors.Join(f(), fmt.Errorf("profiling: %w", err))
	}
	defer os.Remove(file.Name())
	defer file.Close()
	cmd := exec.Command(perf, "record", "-q", "-g", "-F", "2999", "-p", strconv.Itoa(pid), "-o", file.Name())
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		return errors.Join(f(), fmt.Errorf("profiling: %w", err))
	}
	time.Sleep(ready)
	failed := f()
	_ = cmd.Process.Signal(unix.SIGINT) // it may have failed already, and says why
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && (!errors.As(err, &exit) || said.Len() > 0) {
		return errors.Join(failed, fmt.Errorf("profiling: %w: %s", err, &said))
	}
	return errors.Join(failed, p.read(column, perf, file.Name()))
}

// read counts what perf has recorded.
func (p *Profile) read(column, perf, file string) error {
	var out, said bytes.Buffer
	cmd := exec.Command(perf, "script", "-F", "ip,sym", "-i", file)
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("reading a profile: %w: %s", err, &said)
	}
	return p.count(column, &out)
}

// count takes stacks as `perf script -F ip,sym` writes them: a line for each function, the deepest first, and
// an empty one behind them.
func (p *Profile) count(column string, script io.Reader) error {
	if p.counts == nil {
		p.counts = map[string]map[string]int{}
	}
	if p.counts[column] == nil {
		p.columns = append(p.columns, column)
		p.counts[column] = map[string]int{}
	}
	var stack []string
	end := func() {
		if len(stack) > 0 {
			p.counts[column][partOf(stack)]++
		}
		stack = stack[:0]
	}
	lines := bufio.NewScanner(script)
	for lines.Scan() {
		_, name, _ := strings.Cut(strings.TrimSpace(lines.Text()), " ")
		if name == "" {
			end()
			continue
		}
		stack = append(stack, name)
	}
	end()
	return lines.Err()
}

// Text is a table with the share of each part, in percent of a column; empty if nothing was taken.
func (p *Profile) Text() string {
	if len(p.columns) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n| %% of the processor time of F | %s |\n|---|%s\n", strings.Join(p.columns, " | "),
		strings.Repeat("---:|", len(p.columns)))
	total := map[string]int{}
	for column, of := range p.counts {
		for n := range maps.Values(of) {
			total[column] += n
		}
	}
	for _, of := range append(slices.Clone(parts), part{name: rest}) {
		fmt.Fprintf(&b, "| %s |", of.name)
		for _, column := range p.columns {
			n := p.counts[column][of.name]
			fmt.Fprintf(&b, " %.0f |", 100*float64(n)/float64(max(total[column], 1)))
		}
		b.WriteString("\n")
	}
	return b.String()
}
