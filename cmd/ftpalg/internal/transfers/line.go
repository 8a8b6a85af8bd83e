package transfers

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/ftpalg/ftpalg/alg"
	"github.com/ftpalg/ftpalg/alg/fate"
	"github.com/ftpalg/ftpalg/alg/policy"
)

// line is a transfer as it is written. Names of fields are those of Zeek's ftp.log where it has them.
type line struct {
	Time      time.Time      `json:"ts"`           // of the command
	UID       string         `json:"uid"`          // of the session
	Community string         `json:"community_id"` // of the control connection as the client knows it
	Client    netip.AddrPort `json:"client"`
	Server    netip.AddrPort `json:"server"`         // as it knows itself
	Dialled   netip.AddrPort `json:"dialled"`        // as the client knows it
	Zone      uint16         `json:"zone,omitempty"` // conntrack zone
	User      string         `json:"user,omitempty"`
	Command   string         `json:"command"`
	Arg       string         `json:"arg,omitempty"`
	CWD       string         `json:"cwd,omitempty"`
	Refused   string         `json:"refused,omitempty"` // why the gateway kept it from the server
	Code      int            `json:"reply_code,omitempty"`
	Text      string         `json:"reply_msg,omitempty"`
	Duration  float64        `json:"duration"` // seconds from the command to the final reply
	Data      *data          `json:"data_channel,omitempty"`
}

// data is the data connection of a transfer.
type data struct {
	Mode    string         `json:"mode"`
	Passive bool           `json:"passive"`
	Open    netip.AddrPort `json:"open"`    // where it was expected
	Target  netip.AddrPort `json:"target"`  // where it was led
	Outcome string         `json:"outcome"` // flowing if it had not ended yet
	Likely  string         `json:"likely,omitempty"`
	Ending  string         `json:"ending,omitempty"`
	Waited  float64        `json:"waited"`             // seconds until it came
	Lasted  float64        `json:"duration,omitempty"` // seconds
	// Bytes are with IP headers; absent: the kernel does not count them.
	FromClient *uint64 `json:"client_bytes,omitempty"`
	FromServer *uint64 `json:"server_bytes,omitempty"`
}

func lineOf(t *alg.Transfer) *line {
	l := &line{
		Time: t.Began, UID: uid(t), Community: communityID(t.Client, t.Dialled),
		Client: t.Client, Server: t.Server, Dialled: t.Dialled, Zone: t.Zone,
		User: visible(t.User), Command: visible(t.Command), Arg: visible(t.Argument),
		CWD: visible(t.Directory), Code: t.Code, Text: visible(t.Text), Duration: t.Took.Seconds(),
	}
	if t.Refused != policy.None {
		l.Refused = t.Refused.String()
	}
	if t.Data != nil {
		l.Data = dataOf(t.Data)
	}
	return l
}

func dataOf(d *alg.Data) *data {
	x := &data{
		Mode: d.Mode.String(), Passive: !d.Mode.Active(), Open: d.Fate.Open, Target: d.Target,
		Outcome: d.Outcome.String(), Likely: d.Outcome.Likely(d.Mode),
		Waited: d.Waited.Seconds(), Lasted: d.Lasted.Seconds(),
	}
	if d.Flowing {
		x.Outcome = "flowing"
	}
	if d.Ending != fate.NoEnding {
		x.Ending = d.Ending.String()
	}
	if d.Counted {
		x.FromClient, x.FromServer = &d.FromClient.Bytes, &d.FromServer.Bytes
	}
	return x
}

// uid is the same for all transfers of a session, also of one that another process had before.
func uid(t *alg.Transfer) string {
	var b []byte
	for _, a := range [...]netip.AddrPort{t.Client, t.Dialled, t.Server} {
		b, _ = a.AppendBinary(b) // never fails
	}
	sum := sha1.Sum(binary.BigEndian.AppendUint32(b, t.Session))
	return fmt.Sprintf("C%x", sum[:8])
}

// communityID is the Community ID v1 of a TCP connection, which Zeek, Suricata and others log too.
func communityID(a, b netip.AddrPort) string {
	if c := a.Addr().Compare(b.Addr()); c > 0 || c == 0 && a.Port() > b.Port() {
		a, b = b, a
	}
	const seed, tcp = 0, 6
	h := []byte{0, seed}
	h = append(h, a.Addr().AsSlice()...)
	h = append(h, b.Addr().AsSlice()...)
	h = append(h, tcp, 0)
	h = binary.BigEndian.AppendUint16(h, a.Port())
	h = binary.BigEndian.AppendUint16(h, b.Port())
	sum := sha1.Sum(h)
	return "1:" + base64.StdEncoding.EncodeToString(sum[:])
}

// visible writes what no terminal should see, and bytes that are no UTF-8, as in a string of Go: \x1b,
// \u202e; and so a backslash twice.
func visible(s string) string {
	var b []byte
	for at := 0; at < len(s); {
		r, n := utf8.DecodeRuneInString(s[at:])
		switch {
		case r == utf8.RuneError && n == 1:
			b = fmt.Appendf(b, `\x%02x`, s[at])
		case r == '\\':
			b = append(b, `\\`...)
		case strconv.IsPrint(r):
			b = append(b, s[at:at+n]...)
		default:
			q := strconv.AppendQuoteRune(nil, r)
			b = append(b, q[1:len(q)-1]...)
		}
		at += n
	}
	return string(b)
}

// write appends the line of a transfer.
func write(to *json.Encoder, t *alg.Transfer) error { return to.Encode(lineOf(t)) }
