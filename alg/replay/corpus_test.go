package replay

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ftpalg/ftpalg/alg/policy"
)

// truth is a data channel that a capture is known to negotiate.
type truth struct {
	Pcap       string
	Control    string
	Mode       string
	Frame      int
	LastFrame  int `json:"last_frame"` // if the line came in several frames
	Addr       netip.Addr
	Port       uint16
	OKReply    *bool `json:"ok_reply"`
	Solicited  *bool
	AddrIsPeer bool `json:"addr_is_peer"`
	DataSeen   bool `json:"data_connection_seen"`
	DataFrame  int  `json:"data_frame"`
}

// opens tells whether the standard policy lets this one in.
func (tr truth) opens() bool {
	solicited := tr.Solicited == nil || *tr.Solicited
	return tr.AddrIsPeer && solicited && tr.Port >= policy.Default().MinPort
}

func (tr truth) String() string {
	return fmt.Sprintf("%s %s %s", tr.Control, tr.Mode, netip.AddrPortFrom(tr.Addr, tr.Port))
}

// within tells whether a frame is one of those that the line came in.
func (tr truth) within(frame int) bool {
	last := cmp.Or(tr.LastFrame, tr.Frame)
	return frame >= min(tr.Frame, last) && frame <= max(tr.Frame, last)
}

// corpus returns the folder of the captures, which is not part of the module.
func corpus(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("FTPALG_CORPUS")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "corpus")
	}
	if _, err := os.Stat(filepath.Join(dir, "truth.jsonl")); err != nil {
		t.Skipf("NO CAPTURES REPLAYED: %v; set FTPALG_CORPUS to the folder of the captures", err)
	}
	return dir
}

func readTruth(t *testing.T, file string) []truth {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var rows []truth
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var tr truth
		if err := json.Unmarshal(lines.Bytes(), &tr); err != nil {
			t.Fatalf("%s: row %d: %v", file, len(rows)+1, err)
		}
		rows = append(rows, tr)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return rows
}

// TestCorpus replays every capture of the corpus: the channels that open are those
// of the ground truth, and no other.
func TestCorpus(t *testing.T) {
	dir := corpus(t)
	want := map[string][]truth{}
	for _, file := range []string{"truth.jsonl", "truth_derived.jsonl"} {
		for _, tr := range readTruth(t, filepath.Join(dir, file)) {
			want[tr.Pcap] = append(want[tr.Pcap], tr)
		}
	}
	pcaps, err := filepath.Glob(filepath.Join(dir, "pcap", "*", "*.pcap*"))
	if err != nil || len(pcaps) == 0 {
		t.Fatalf("no captures in %s: %v", dir, err)
	}
	for _, p := range pcaps {
		name, err := filepath.Rel(dir, p)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(strings.TrimPrefix(name, "pcap/"), func(t *testing.T) {
			compare(t, replayFile(t, p, serverPorts(want[name])), want[name])
		})
	}
}

// serverPorts are those of the rows, and 21.
func serverPorts(rows []truth) []uint16 {
	ports := []uint16{21}
	for _, tr := range rows {
		_, server, _ := strings.Cut(tr.Control, ">")
		if a, err := netip.ParseAddrPort(server); err == nil && !slices.Contains(ports, a.Port()) {
			ports = append(ports, a.Port())
		}
	}
	return ports
}

func replayFile(t *testing.T, file string, ports []uint16) report {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	r, err := run(f, Options{Ports: PortsOf(ports...), Policy: DefaultPolicy()})
	if err != nil {
		t.Error(err)
	}
	return r
}

// compare takes each channel found off the rows wanted.
func compare(t *testing.T, r report, want []truth) {
	t.Helper()
	var left []truth
	for _, tr := range want {
		if tr.opens() {
			left = append(left, tr)
		}
	}
	for _, c := range r.controls {
		for _, ch := range c.Channels {
			found := fmt.Sprintf("%s>%s %s %s", c.Client, c.Server, strings.ToUpper(ch.Mode), ch.Target)
			i := slices.IndexFunc(left, func(tr truth) bool {
				return tr.String() == found &&
					tr.within(ch.Frame)
			})
			if i < 0 {
				t.Errorf("frame %d: opened, but should not: %s", ch.Frame, found)
				continue
			}
			if tr, d := left[i], ch.Data; tr.DataSeen != (d.Fate != NotSeen) || tr.DataFrame != 0 &&
				tr.DataFrame != d.Frame {
				t.Errorf("frame %d: data connection %+v, want it in frame %d", ch.Frame, d, tr.DataFrame)
			}
			left = slices.Delete(left, i, i+1)
		}
	}
	for _, tr := range left {
		t.Errorf("frame %d: not opened: %s", tr.Frame, tr)
	}
}
