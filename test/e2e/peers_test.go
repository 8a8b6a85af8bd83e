package e2e

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/test/ftptest"
	"github.com/ftpalg/ftpalg/test/lab"
)

const (
	// transferTime is how long a real client may take for all its transfers;
	// much, since an emulated processor is slow.
	transferTime = time.Minute
	// hopelessTime is how long a real client may try without the gateway.
	hopelessTime = 2 * time.Second
)

// peer finds a program that the gateway is tested with.
func peer(t testing.TB, name string) string {
	t.Helper()
	var dirs []string
	if tree := os.Getenv("FTPALG_PEERS"); tree != "" {
		dirs = append(dirs, filepath.Join(tree, "usr/sbin"), filepath.Join(tree, "usr/bin"))
	}
	// Debian's own before others: a Python may be a slow script that looks for another.
	dirs = append(dirs, "/usr/sbin", "/usr/bin")
	for _, dir := range dirs {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
		return path
	case os.Getenv("FTPALG_REQUIRE_ROOT") == "1":
		t.Fatalf("%s is not installed: run test/peers and set FTPALG_PEERS to what it prints", name)
	default:
		t.Skipf("SKIPPED, NOT TESTED: %s is not installed: run test/peers and set FTPALG_PEERS to what it "+
			"prints", name)
	}
	return ""
}

// peerCommand is a real program on a host, with the libraries that came with it.
func peerCommand(ctx context.Context, h *lab.Host, home, path string, args ...string) *lab.Cmd {
	c := h.Command(ctx, path, args...)
	c.Dir = home
	c.Env = append(os.Environ(), "HOME="+home, "LC_ALL=C")
	if tree := os.Getenv("FTPALG_PEERS"); tree != "" && strings.HasPrefix(path, tree) {
		// the pattern is well-formed
		libraries, _ := filepath.Glob(filepath.Join(tree, "usr/lib/*-linux-gnu*"))
		c.Env = append(c.Env, "LD_LIBRARY_PATH="+strings.Join(libraries, ":"))
	}
	return c
}

// visit is what a real client is to do in one session: retrieve "big" as "one" and as
// "two", store "up", and write a listing to "list". Its working directory is for nothing
// else, and its own files are there.
type visit struct {
	server *running
	at     netip.Addr
	mode   ftptest.Mode
	up     string // a name that no other visit stores
	wait   time.Duration
}

func (v visit) url() string { return "ftp://" + netip.AddrPortFrom(v.at, 21).String() + "/pub/" }

// seconds is how long the client is to wait, as clients are told.
func (v visit) seconds() string { return fmt.Sprint(int(v.wait / time.Second)) }

// onOff chooses one of two words.
func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}

// realClient is an FTP client.
type realClient struct {
	name, program string
	// modes are those of IPv4 that it can be told to use; with IPv6 there are only two.
	modes []ftptest.Mode
	// command returns the arguments and the standard input.
	command func(v visit) (args []string, stdin string)
}

//go:embed testdata/ftplib.py
var ftplibProgram string

var allModes = []ftptest.Mode{ftptest.PORT, ftptest.EPRT, ftptest.PASV, ftptest.EPSV}

var realClients = []realClient{
	{"lftp", "lftp", []ftptest.Mode{ftptest.PORT, ftptest.PASV, ftptest.EPSV}, lftp("on")},
	{"lftp that does not wait for replies", "lftp", []ftptest.Mode{ftptest.PORT, ftptest.PASV, ftptest.EPSV},
		lftp("off")},
	{"curl", "curl", allModes, func(v visit) (args []string, stdin string) {
		common := []string{"--silent", "--show-error", "--globoff", "--noproxy", "*", "--max-time",
			v.seconds(),
			"--user", v.server.user + ":" + v.server.password}
		switch v.mode {
		case ftptest.PORT:
			common = append(common, "--ftp-port", "-", "--disable-eprt")
		case ftptest.EPRT:
			common = append(common, "--ftp-port", "-")
		case ftptest.PASV: // without the last it ignores the address in 227
			common = append(common, "--disable-epsv", "--no-ftp-skip-pasv-ip")
		}
		for _, transfer := range [][]string{
			{"--output", "one", v.url() + "big"}, {"--output", "two", v.url() + "big"},
			{"--upload-file", v.up, v.url()}, {"--output", "list", v.url()},
		} {
			args = append(append(append(args, common...), transfer...), "--next")
		}
		return args[:len(args)-1], ""
	}},
	{"tnftp", "tnftp", allModes, func(v visit) (args []string, stdin string) {
		mode := "-p"
		if v.mode.Active() {
			mode = "-A"
		}
		return []string{"-n", "-i", "-v", mode}, fmt.Sprintf(`open %s
user %s %s
epsv4 %s
binary
cd pub
get big one
get big two
put %s
ls . list
bye
`, v.at, v.server.user, v.server.password, onOff(v.mode == ftptest.EPRT || v.mode == ftptest.EPSV), v.up)
	}},
	{"ftplib", "python3", allModes, func(v visit) (args []string, stdin string) {
		return []string{"-", string(v.mode), v.at.String(), v.server.user, v.server.password, "pub", v.up,
			"one", "two", "list", v.seconds()}, ftplibProgram
	}},
}

// lftp writes all commands at once unless it is told to wait for each reply.
func lftp(syncMode string) func(v visit) (args []string, stdin string) {
	return func(v visit) (args []string, stdin string) {
		return []string{"-c", fmt.Sprintf(`set cmd:fail-exit true
set net:timeout %s
set net:max-retries 1
set ftp:ssl-allow no
set ftp:sync-mode %s
set ftp:fix-pasv-address no
set ftp:passive-mode %s
set ftp:prefer-epsv %s
open -u %s,%s %s
get big -o one
get big -o two
put %s
ls > list
`, v.seconds(), syncMode, onOff(!v.mode.Active()), onOff(v.mode == ftptest.EPSV),
			v.server.user, v.server.password, v.url(), v.up)}, ""
	}
}

// make makes a visit, and returns its directory and what the client printed.
func (c realClient) make(t testing.TB, from *lab.Host, v visit) (dir, printed string, err error) {
	t.Helper()
	dir = t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, v.up), upload(v.up), 0o644))
	ctx, cancel := context.WithTimeout(context.Background(), v.wait)
	defer cancel()
	args, stdin := c.command(v)
	cmd := peerCommand(ctx, from, dir, peer(t, c.program), args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return dir, string(out), err
}

// upload is what is stored under a name.
func upload(name string) []byte { return ftptest.Random(300_001, uint64(len(name))<<8|uint64(name[0])) }

// TestRealClientsAndServers lets every client transfer from and to every server.
func TestRealClientsAndServers(t *testing.T) {
	for _, s := range realServers {
		for _, n := range []struct {
			name   string
			active bool
			kind   func(*lab.Lab) (*lab.Routed, error)
		}{
			{"client behind masquerade", true, (*lab.Lab).ClientBehindNAT},
			{"server behind DNAT", false, (*lab.Lab).ServerBehindNAT},
		} {
			t.Run(s.name+"/"+n.name, func(t *testing.T) {
				r := routed(t, n.kind)
				server := s.start(t, r.Server)
				at := func(ipv6 bool) netip.Addr {
					if n.active {
						return r.Server.Addr(ipv6)
					}
					return r.Outside.Addr(ipv6)
				}
				wantHopeless(t, r.Client, server, at, n.active)
				g := startGateway(t, r.Gateway)
				for _, c := range realClients {
					t.Run(c.name, func(t *testing.T) {
						for _, f := range families {
							for _, m := range modes(f.ipv6, n.active) {
								if f.ipv6 || slices.Contains(c.modes, m) {
									t.Run(f.name+" "+string(m), func(t *testing.T) {
										up := fmt.Sprintf("up-%s-%s-%s", strings.ReplaceAll(c.name, " ", "-"),
											f.name, m)
										visitAndCheck(t, g, c, r.Client,
											visit{server, at(f.ipv6), m, up, transferTime})
									})
								}
							}
						}
					})
				}
				g.wantNothingOpen()
			})
		}
	}
}

// wantHopeless checks that no client gets a file without the gateway, in either family.
func wantHopeless(t testing.TB, from *lab.Host, s *running, at func(ipv6 bool) netip.Addr, active bool) {
	t.Helper()
	var all sync.WaitGroup
	defer all.Wait()
	for i, c := range realClients {
		peer(t, c.program) // which may end the test, as only this goroutine can
		for _, f := range families {
			v := visit{s, at(f.ipv6), modes(f.ipv6, active)[0], fmt.Sprintf("hopeless%d%s", i, f.name),
				hopelessTime}
			all.Go(func() {
				dir, printed, err := c.make(t, from, v)
				if err != nil {
					printed += err.Error()
				}
				if got, _ := os.ReadFile(filepath.Join(dir, "one")); bytes.Equal(got, s.big) {
					t.Errorf("%s transfers by %s over %s without the gateway, the test proves nothing:\n%s",
						c.name, v.mode, f.name, printed)
				}
			})
		}
	}
}

// visitAndCheck checks that all is transferred whole, through the gateway, in the
// mode that the client was told.
func visitAndCheck(t testing.TB, g *gateway, c realClient, from *lab.Host, v visit) {
	t.Helper()
	before := len(g.logged())
	dir, printed, err := c.make(t, from, v)
	if err != nil {
		t.Errorf("%s ended with %v", c.name, err)
	}
	for _, name := range []string{"one", "two"} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); !bytes.Equal(got, v.server.big) {
			t.Errorf("retrieved as %s are %d bytes, other than the %d sent (%v)", name, len(got),
				len(v.server.big), err)
		}
	}
	if got, err := os.ReadFile(filepath.Join(v.server.pub, v.up)); !bytes.Equal(got, upload(v.up)) {
		t.Errorf("stored are %d bytes, other than the %d sent (%v)", len(got), len(upload(v.up)), err)
	}
	if list, err := os.ReadFile(filepath.Join(dir, "list")); !strings.Contains(string(list), "big") ||
		!strings.Contains(string(list), v.up) {
		t.Errorf("the listing is %q (%v), want big and %s in it", list, err, v.up)
	}
	channel := `msg="data channel" mode=` + strings.ToLower(string(v.mode)) + " "
	if !g.logs(func(log string) bool { return strings.Count(log[before:], channel) >= 4 }) {
		t.Errorf("%d data channels were opened by %s, want 4", strings.Count(g.logged()[before:], channel),
			v.mode)
	}
	if t.Failed() {
		t.Logf("%s printed:\n%s\nthe gateway logged:\n%s", c.name, printed, g.logged()[before:])
	}
}
