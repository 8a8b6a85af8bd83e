package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// said is a line of a conversation, and whether the server says it.
type said struct {
	server bool
	text   string
}

// hostile is a reply with a terminal's escape, in eight bits too, and a character that turns the line round.
const hostile = "200 \x1b[2J\x9b2J\u202eok\r\n"

var conversation = []said{
	{true, "220 hi\r\n"}, {false, "USER u\r\n"}, {true, "230 in\r\n"},
	{false, "PORT 10,0,0,1,39,136\r\n"}, {true, hostile}, {false, "RETR \x1b]0;f\x07\r\n"},
	{true, "226 done\r\n"},
	{false, "PORT 10,0,0,9,39,136\r\n"},
}

// writeCapture writes a session from its middle, one packet for each line, one second apart.
func writeCapture(t *testing.T, w io.Writer) {
	t.Helper()
	out := pcapgo.NewWriter(w)
	if err := out.WriteFileHeader(65535, layers.LinkTypeRaw); err != nil {
		t.Fatal(err)
	}
	ends := [2][]byte{{10, 0, 0, 1}, {10, 0, 0, 2}}
	ports, next := [2]layers.TCPPort{40000, 21}, [2]uint32{1000, 5000}
	for i, s := range conversation {
		from := 0
		if s.server {
			from = 1
		}
		ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: ends[from],
			DstIP: ends[1-from]}
		tcp := &layers.TCP{SrcPort: ports[from], DstPort: ports[1-from], Seq: next[from], Ack: next[1-from],
			ACK: true}
		next[from] += uint32(len(s.text))
		b := gopacket.NewSerializeBuffer()
		err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true}, ip, tcp,
			gopacket.Payload(s.text))
		if err != nil {
			t.Fatal(err)
		}
		p := b.Bytes()
		info := gopacket.CaptureInfo{Timestamp: time.Unix(int64(1000+i), 0), CaptureLength: len(p),
			Length: len(p)}
		if err := out.WritePacket(info, p); err != nil {
			t.Fatal(err)
		}
	}
}

// captures is a directory with one capture and one file that is none.
func captures(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	var b bytes.Buffer
	writeCapture(t, &b)
	for name, text := range map[string][]byte{"a.pcap": b.Bytes(),
		"notes.txt": []byte("this is no capture")} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestInspectTellsInOneTableWhatWasAskedAndWhatCameOfIt(t *testing.T) {
	out, err := execute("inspect", captures(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"10.0.0.1:40000 -> 10.0.0.2:21, 1970-01-01 00:16:40, frames 1 to 8\n",
		"  note: starts before the capture (taken as logged in)\n",
		"  00:16:43  frame 4      PORT 10,0,0,1,39,136         opens 10.0.0.1:10120 for 10.0.0.2\n",
		`reply 200 \x1b[2J\x9b2J\u202eok; RETR \x1b]0;f\a: 226 done; data connection not in the capture`,
		"  00:16:47  frame 8      PORT 10,0,0,9,39,136         refused, foreign_address\n",
		"a.pcap: 1 control connections, 1 data channels opened, 1 refusals in 8 frames, " +
			"1970-01-01 00:16:40 to 1970-01-01 00:16:47 UTC\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("got\n%s\nwithout %s", out, want)
		}
	}
}

func TestInspectEscapesHostileBytes(t *testing.T) {
	dir := captures(t)
	if err := os.Rename(filepath.Join(dir, "a.pcap"), filepath.Join(dir, "\x1b[31m.pcap")); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"inspect", dir}, {"inspect", "--json", dir},
		{"inspect", dir + "/\x1b[31mx"}} {
		out, err := execute(args...)
		if err != nil {
			out += err.Error()
		}
		if i := strings.IndexFunc(out, func(r rune) bool {
			return r != '\n' &&
				(r < ' ' || r > '~')
		}); i >= 0 || out == "" {
			t.Errorf("%q: %q", args, out)
		}
	}
}

func TestInspectJSONHasTheFieldsThatTheHelpNames(t *testing.T) {
	out, err := execute("inspect", "--json", "--nat", "10.0.0.1=203.0.113.9", captures(t))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"opened":  "time frame client server mode asked for open target was is",
		"settled": "time frame client server mode asked for open target was is reply command transfer data",
		"refused": "time frame client server reason line",
		"control": "client server outside inside start end first last opened refused notes",
		"sum":     "start end frames controls channels refusals",
	}
	for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
		var o map[string]any
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		kind, _ := o["kind"].(string)
		for _, field := range strings.Fields(want[kind] + " version file") {
			if _, ok := o[field]; !ok {
				t.Errorf("%s has no %s: %s", kind, field, line)
			}
		}
		if kind == "opened" && o["is"] != "203,0,113,9,39,136" {
			t.Errorf("is: %v", o["is"])
		}
		delete(want, kind)
	}
	if len(want) > 0 {
		t.Errorf("missing: %v", want)
	}
}

func TestInspectOfWhatCannotBeReadGivesAnErrorAndNoSum(t *testing.T) {
	dir := captures(t)
	out, err := execute("inspect", filepath.Join(dir, "notes.txt"), filepath.Join(dir, "none"),
		filepath.Join(dir, "a.pcap"))
	if err == nil || strings.Count(err.Error(), "\n") != 1 || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("%v", err)
	}
	if strings.Count(out, "control connections") != 1 {
		t.Errorf("not the sum of the one capture:\n%s", out)
	}
}

func TestInspectFollowsTheOperatorsPolicyAndPorts(t *testing.T) {
	dir := captures(t)
	file := filepath.Join(dir, "ftpalg.yaml")
	if err := os.WriteFile(file, []byte("ports: [2121]\nactive: false\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := execute("inspect", "--config", file, filepath.Join(dir, "a.pcap"))
	if err != nil || !strings.Contains(out, "0 control connections") ||
		!strings.Contains(out, "port 21 looks like FTP: --ports 21\n") {
		t.Errorf("%v\n%s", err, out)
	}
	out, err = execute("inspect", "--config", file, "--ports", "1-65535", filepath.Join(dir, "a.pcap"))
	if err != nil || !strings.Contains(out, "refused, active_off") {
		t.Errorf("%v\n%s", err, out)
	}
}

// notified is a writer that tells of each line.
type notified chan string

func (n notified) Write(b []byte) (int, error) { n <- string(b); return len(b), nil }

func TestInspectOfAPipeTellsLinesAtOnceAndTheSumAfterAnInterrupt(t *testing.T) {
	in, feed := io.Pipe()
	lines := make(notified, 16)
	root := newRoot()
	root.SetIn(in)
	root.SetOut(lines)
	ctx, interrupt := context.WithCancel(context.Background())
	root.SetArgs([]string{"inspect", "-"})
	done := make(chan error, 1)
	go func() { done <- root.ExecuteContext(ctx) }()
	var b bytes.Buffer
	writeCapture(t, &b)
	if _, err := feed.Write(b.Bytes()); err != nil { // and it never ends
		t.Fatal(err)
	}
	for _, want := range []string{"opens 10.0.0.1:10120", "reply 200", "refused, foreign_address"} {
		if got := <-lines; !strings.Contains(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	interrupt()
	if err := <-done; err != nil {
		t.Error(err)
	}
	var rest string
	for len(lines) > 0 {
		rest += <-lines
	}
	if !strings.Contains(rest, "1 control connections, 1 data channels opened, 1 refusals in 8 frames") {
		t.Errorf("%q", rest)
	}
}

func TestInspectReportsThatNothingCanBeWritten(t *testing.T) {
	root := newRoot()
	root.SetOut(failing{})
	root.SetArgs([]string{"inspect", captures(t)})
	if err := root.Execute(); !errors.Is(err, io.ErrShortWrite) {
		t.Error(err)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrShortWrite }
