package ruleset

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// maxComment is the longest comment that nft takes (NFTNL_UDATA_COMMENT_MAXLEN,
// 128 with its NUL), so that a saved ruleset can be loaded again.
const maxComment = 127

// ownerPrefix begins the comment of the set of ports.
const ownerPrefix = "ftpalg "

// Owner is the process that a table belongs to. It stands in the table, as the
// comment of its set of ports, where nft shows it and every process finds it.
type Owner struct {
	ID        string // of 16 random hex digits: no two processes have the same
	PID       int    // in its own pid namespace
	Started   uint64 // clock ticks from boot to its start: field 22 of /proc/PID/stat
	Namespace uint64 // inode number of its pid namespace
	Queue     uint16 // first of its queues
	Command   string // command line, cut to what a comment holds
}

// Self returns this process as an owner.
func Self() (Owner, error) {
	var id [8]byte
	if _, err := rand.Read(id[:]); err != nil {
		return Owner{}, fmt.Errorf("choose an id for the owner of the rules: %w", err)
	}
	started, err := startOf(os.Getpid())
	if err != nil {
		return Owner{}, fmt.Errorf("read when this process started: %w", err)
	}
	return Owner{ID: hex.EncodeToString(id[:]), PID: os.Getpid(), Started: started,
		Namespace: pidNamespace(), Command: strings.Join(os.Args, " ")}, nil
}

// comment writes the owner; parseOwner reads it.
func (o Owner) comment() string {
	s := fmt.Sprintf("%sid=%s pid=%d started=%d pidns=%d queue=%d command=",
		ownerPrefix, o.ID, o.PID, o.Started, o.Namespace, o.Queue)
	for _, r := range o.Command {
		if r <= ' ' || r >= 0x7f || r == '"' || r == '\\' { // nft quotes a comment and knows no escape
			r = ' '
		}
		if s += string(r); len(s) == maxComment {
			break
		}
	}
	return s
}

func parseOwner(s string) (o Owner, ok bool) {
	s, ok = strings.CutPrefix(s, ownerPrefix)
	if !ok {
		return Owner{}, false
	}
	s, o.Command, _ = strings.Cut(s, " command=")
	for f := range strings.FieldsSeq(s) {
		key, value, _ := strings.Cut(f, "=")
		n, _ := strconv.ParseUint(value, 10, 64)
		switch key {
		case "id":
			o.ID = value
		case "pid":
			o.PID = int(n)
		case "started":
			o.Started = n
		case "pidns":
			o.Namespace = n
		case "queue":
			o.Queue = uint16(n)
		}
	}
	return o, o.ID != ""
}

// String names the process for people.
func (o Owner) String() string { return fmt.Sprintf("process %d (%s)", o.PID, o.Command) }

// Alive tells whether the process still runs. bound tells whether a program has a
// queue: it decides if the process is of another pid namespace, where its number
// says nothing, or is hidden.
func (o Owner) Alive(bound func(queue uint16) bool) bool {
	if o.Namespace != pidNamespace() || o.PID <= 0 {
		return bound(o.Queue)
	}
	if errors.Is(unix.Kill(o.PID, 0), unix.ESRCH) {
		return false
	}
	started, err := startOf(o.PID)
	if err != nil {
		return bound(o.Queue)
	}
	return started == o.Started
}

// pidNamespace is 0 where the kernel does not tell.
func pidNamespace() uint64 {
	var st unix.Stat_t
	if unix.Stat("/proc/self/ns/pid", &st) != nil {
		return 0
	}
	return st.Ino
}

// startOf reads field 22 of /proc/PID/stat; it is 0 of a process that has ended. The
// second field, in parentheses, is the program's name and may hold anything.
func startOf(pid int) (uint64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	const at = 22 - 3 // the first one here is the third
	if len(fields) <= at {
		return 0, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	if fields[0] == "Z" || fields[0] == "X" { // ended, and nobody has asked how
		return 0, nil
	}
	return strconv.ParseUint(fields[at], 10, 64)
}

// OwnedError tells that a table belongs to another process that runs.
type OwnedError struct {
	Table string
	Owner Owner
}

func (e *OwnedError) Error() string {
	return fmt.Sprintf("the nftables table inet %s belongs to %v, which runs", e.Table, e.Owner)
}
