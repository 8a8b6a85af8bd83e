package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/test/ftptest"
	"github.com/ftpalg/ftpalg/test/lab"
)

// asked is a gateway with a client behind NAT, and a socket to ask it by.
type asked struct {
	*gateway
	r      *lab.Routed
	socket string
}

func startAsked(t *testing.T, args ...string) *asked {
	r := routed(t, (*lab.Lab).ClientBehindNAT)
	must(t, r.Gateway.Sysctl("net.netfilter.nf_conntrack_acct", "1"))
	serve(t, &ftptest.Server{}, r.Server, r.Server.AddrPort(false, lab.ControlPort))
	socket := filepath.Join(t.TempDir(), "s")
	args = append(args, "--socket-path", socket)
	return &asked{startGateway(t, r.Gateway, args...), r, socket}
}

// ask runs a command of the program against the socket and returns what it prints and its exit code.
func (a *asked) ask(args ...string) (string, int) {
	a.t.Helper()
	var out, errs bytes.Buffer
	c := exec.Command(program, append(args, "--socket", a.socket)...)
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	if e := (*exec.ExitError)(nil); err != nil && !errors.As(err, &e) {
		a.t.Fatal(err)
	}
	return out.String() + errs.String(), c.ProcessState.ExitCode()
}

// until asks again until the answer has the text.
func (a *asked) until(wanted string, args ...string) string {
	a.t.Helper()
	for end := time.Now().Add(patience); ; {
		out, _ := a.ask(args...)
		if strings.Contains(out, wanted) {
			return out
		}
		if time.Now().After(end) {
			a.t.Fatalf("%v says\n%s", args, out)
		}
	}
}

// follow starts `ftpalg events` and returns its lines, once the gateway knows of it.
func (a *asked) follow(client *ftptest.Client, args ...string) <-chan string {
	a.t.Helper()
	c := exec.Command(program, append([]string{"events", "--json", "--socket", a.socket}, args...)...)
	out, err := c.StdoutPipe()
	must(a.t, err)
	must(a.t, c.Start())
	a.t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	lines := make(chan string, 100)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
	}()
	for end := time.After(patience); ; { // refusals, until the first is heard of
		if _, err := client.Cmd("PORT 1,2,3,4,5,6"); err != nil {
			a.t.Fatal(err)
		}
		select {
		case <-lines:
			return lines
		case <-end:
			a.t.Fatal("nothing is told")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func TestSessionsTellWhoIsConnectedAndWhatFlows(t *testing.T) {
	a := startAsked(t)
	c, err := ftptest.Dial(t.Context(), a.r.Client, a.r.Server.AddrPort(false, lab.ControlPort))
	must(t, err)
	defer c.Close()
	must(t, c.Login("joe\x1b[31m", "secret"))
	idle := login(t, a.r.Client, a.r.Server.AddrPort(false, lab.ControlPort))
	d, err := c.Open(ftptest.PORT)
	must(t, err)
	defer d.Close()
	a.until("open port 203.0.113.1:", "sessions", "--open")
	if reply, err := c.Cmd("STOR slow\x07"); err != nil || reply.Code != 150 {
		t.Fatal(reply, err)
	}
	data, err := d.Conn()
	must(t, err)
	_, err = data.Write(ftptest.Random(5000, 1))
	must(t, err)
	out := a.until(" flowing port ", "sessions", "--open")
	for _, want := range []string{
		`joe\x1b[31m`, "clear", "STOR", `slow\a`, "bytes from client", c.Local().String(),
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	for _, not := range []string{"secret", "\x1b", "\x07", idle.Local().String()} {
		if strings.Contains(out, not) {
			t.Errorf("%q is in\n%s", not, out)
		}
	}
	if out, _ := a.ask("sessions", "--client", "192.0.2.0/24"); strings.Contains(out, "203.0.113") {
		t.Errorf("other clients are listed:\n%s", out)
	}
	must(t, data.Close())
	_, err = c.ReadReply()
	must(t, err)
	a.wantTransfer()
}

// wantTransfer checks what is told of joe's upload, and that there are two sessions.
func (a *asked) wantTransfer() {
	a.t.Helper()
	t := a.t
	out := a.until(`"state": "used"`, "sessions", "--json")
	var all struct {
		Version  int
		Sessions []struct {
			User string
			Data struct {
				Bytes [2]uint64
				Reply int
			}
		}
	}
	must(t, json.Unmarshal([]byte(out), &all))
	for _, s := range all.Sessions {
		if strings.HasPrefix(s.User, "joe") && (s.Data.Bytes[0] < 5000 || s.Data.Reply != 226) {
			t.Errorf("%+v", s)
		}
	}
	if all.Version != 1 || len(all.Sessions) != 2 {
		t.Errorf("%+v", all)
	}
}

func TestEventsAreToldLive(t *testing.T) {
	a := startAsked(t)
	c := login(t, a.r.Client, a.r.Server.AddrPort(false, lab.ControlPort))
	lines := a.follow(c, "--client", c.Local().Addr().String())
	if _, err := c.Get(ftptest.EPSV, "small"); err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for len(kinds) < 2 {
		select {
		case l := <-lines:
			var e struct {
				Kind, User string
				Data       struct{ Mode, State string }
			}
			must(t, json.Unmarshal([]byte(l), &e))
			if e.Kind == "refused" {
				continue
			}
			if kinds = append(kinds, e.Kind+" "+e.Data.State); e.User != "u" || e.Data.Mode != "epsv" {
				t.Errorf("the event is %s", l)
			}
		case <-time.After(patience):
			t.Fatalf("only %v are told", kinds)
		}
	}
	if got := strings.Join(kinds, ", "); got != "opened open, ended used" {
		t.Errorf("the events are %s", got)
	}
}

func TestStatusTellsByItsExitCode(t *testing.T) {
	a := startAsked(t)
	out, code := a.ask("status")
	if code != 0 || !strings.Contains(out, "ports [21]: ok") || !strings.Contains(out, "conntrack_table") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	out, code = a.ask("status", "--json")
	var s struct {
		Health string
		Checks []struct{ ID, Level string }
	}
	must(t, json.Unmarshal([]byte(out), &s))
	if code != 0 || s.Health != "ok" || len(s.Checks) < 5 {
		t.Errorf("exit code %d: %+v", code, s)
	}
	must(t, a.r.Gateway.Sysctl("net.netfilter.nf_conntrack_events", "0"))
	if out, code = a.ask("status"); code != 1 || !strings.Contains(out, "to do: set events: on") {
		t.Errorf("with a warning the exit code is %d:\n%s", code, out)
	}
	a.stop()
	if out, code = a.ask("status"); code != 2 || !strings.Contains(out, "is ftpalg running") {
		t.Errorf("without a gateway the exit code is %d:\n%s", code, out)
	}
	if out, code = a.ask("status", "--quiet"); code != 2 || out != "" {
		t.Errorf("--quiet says %q and ends with %d", out, code)
	}
}
