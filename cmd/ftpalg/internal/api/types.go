package api

import (
	"net/netip"
	"time"
)

// Version is in each answer.
const Version = 1

// Sessions is the answer to /v1/sessions.
type Sessions struct {
	Version  int       `json:"version"`
	Time     time.Time `json:"time"` // when it was so
	Sessions []Session `json:"sessions"`
}

// Session is a control connection.
type Session struct {
	Client  netip.AddrPort `json:"client"`
	Dialled netip.AddrPort `json:"dialled"`        // the server as the client knows it
	Server  netip.AddrPort `json:"server"`         // and as it is
	Zone    uint16         `json:"zone,omitempty"` // conntrack zone
	User    string         `json:"user,omitempty"`
	State   string         `json:"state"` // greeting, login, clear, tls, not_ftp, over
	Command string         `json:"command,omitempty"`
	Offset  [2]int32       `json:"offset"`      // bytes that the kernel adds, by who sends
	Age     float64        `json:"age_seconds"` // since it was first seen
	Idle    float64        `json:"idle_seconds"`
	Data    *Data          `json:"data,omitempty"` // the last that was asked for
}

// Data is a data connection, or the port that waits for it.
type Data struct {
	Mode    string         `json:"mode"`
	Open    netip.AddrPort `json:"open"`   // where it is expected
	Target  netip.AddrPort `json:"target"` // where it is led
	State   string         `json:"state"`  // open, flowing, closing, or the outcome
	Reason  string         `json:"reason,omitempty"`
	Likely  string         `json:"likely,omitempty"` // cause of a failure
	Left    float64        `json:"left_seconds,omitempty"`
	Waited  float64        `json:"waited_seconds"`
	Lasted  float64        `json:"lasted_seconds,omitempty"`
	Ending  string         `json:"ending,omitempty"`
	Command string         `json:"command,omitempty"`
	File    string         `json:"file,omitempty"`
	Reply   int            `json:"reply,omitempty"` // the server's last to the transfer
	// Bytes are from the client and from the server, IP headers included; absent: not counted.
	Bytes *[2]uint64 `json:"bytes,omitempty"`
	Rate  float64    `json:"bytes_per_second,omitempty"` // of both, on average
}

// Level is how well something is.
type Level int

// The levels are the exit codes of `ftpalg status`, too.
const (
	OK Level = iota
	Warning
	Failing
)

// Levels are the labels of the levels.
var Levels = [...]string{"ok", "warning", "failing"}

func (l Level) String() string { return Levels[l] }

// MarshalText is the label.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText takes what is no label for failing.
func (l *Level) UnmarshalText(b []byte) error {
	*l = Failing
	for i, s := range Levels {
		if s == string(b) {
			*l = Level(i)
		}
	}
	return nil
}

// Status is the answer to /v1/status.
type Status struct {
	Version  int               `json:"version"`
	Program  string            `json:"program"` // its version
	Kernel   string            `json:"kernel"`
	Uptime   float64           `json:"uptime_seconds"`
	Ports    []uint16          `json:"ports"`
	Chosen   map[string]string `json:"chosen"` // how the job is done
	Counters map[string]uint64 `json:"counters"`
	Health   Level             `json:"health"` // the worst of the checks
	Checks   []Check           `json:"checks"`
}

// Check is one thing that is well or not.
type Check struct {
	ID     string `json:"id"` // stays the same in all versions
	Name   string `json:"name"`
	Level  Level  `json:"level"`
	Detail string `json:"detail,omitempty"`
	Remedy string `json:"remedy,omitempty"`
}

// Event is one thing that happened.
type Event struct {
	Version int             `json:"version"`
	Time    time.Time       `json:"time"`
	Kind    string          `json:"kind"` // opened, refused, ended, lost
	Client  *netip.AddrPort `json:"client,omitempty"`
	Server  *netip.AddrPort `json:"server,omitempty"`
	Zone    uint16          `json:"zone,omitempty"` // conntrack zone
	User    string          `json:"user,omitempty"`
	Data    *Data           `json:"data,omitempty"`   // of opened and ended
	Reason  string          `json:"reason,omitempty"` // of refused
	Line    string          `json:"line,omitempty"`   // of refused
	Was     string          `json:"was,omitempty"`    // of opened: the address that was sent
	Is      string          `json:"is,omitempty"`     // of opened: the address that was passed on
	Lost    int             `json:"lost,omitempty"`   // of lost: how many this reader was too slow for
}
