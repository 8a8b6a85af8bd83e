package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/test/ftptest"
	"github.com/ftpalg/ftpalg/test/lab"
)

// realServer is an FTP server that listens on port 21 of all addresses of its host.
type realServer struct {
	name, user, password string
	// command writes the configuration to a directory and returns the program and
	// its arguments. The root of the files is there as well.
	command func(t testing.TB, h *lab.Host, dir string) []string
}

// hashed is the password "ftptest", for the servers that have users of their own.
const hashed = "$6$ftptest$" +
	"cHkZsPnMxzddFDIwPKxWk.4XxX.hb1bdi1lALsa1KnXBfW1wtcgKE4Hiqq6spoaQuWIRXW5OvLNt7tfUNZ9Ox1"

var realServers = []realServer{
	{"vsftpd", "anonymous", "ftptest", func(t testing.TB, _ *lab.Host, dir string) []string {
		// Its own sandboxes stay out: one of them fails on newer kernels, another hides
		// processes from the lab, which ends them.
		return []string{peer(t, "vsftpd"), configure(t, dir, "vsftpd.conf", strings.ReplaceAll(`
listen=NO
listen_ipv6=YES
background=NO
seccomp_sandbox=NO
isolate=NO
isolate_network=NO
secure_chroot_dir=DIR/empty
anonymous_enable=YES
local_enable=NO
ftp_username=USER
anon_root=DIR/root
anon_umask=022
anon_world_readable_only=NO
anon_upload_enable=YES
anon_other_write_enable=YES
write_enable=YES
connect_from_port_20=YES
`, "USER", accountWithHome(t)))}
	}},
	{"proftpd", "ftptest", "ftptest", func(t testing.TB, _ *lab.Host, dir string) []string {
		configure(t, dir, "passwd", "ftptest:"+hashed+":65534:65534::DIR/root:/bin/sh\n")
		return []string{peer(t, "proftpd"), "--nodaemon", "--config", configure(t, dir, "proftpd.conf", `
ServerType standalone
DefaultServer on
DefaultAddress 0.0.0.0 ::
UseIPv6 on
UseReverseDNS off
Port 21
User nobody
Group nogroup
AuthOrder mod_auth_file.c
AuthUserFile DIR/passwd
RequireValidShell off
DefaultRoot ~
AllowOverwrite on
DelayEngine off
ControlsEngine off
PidFile DIR/pid
ScoreboardFile DIR/scoreboard
SystemLog DIR/log
TransferLog NONE
WtmpLog off
`)}
	}},
	{"pure-ftpd", "ftptest", "ftptest", func(t testing.TB, h *lab.Host, dir string) []string {
		passwd := configure(t, dir, "passwd", "ftptest:"+hashed+":65534:65534::DIR/root/./::::::::::::\n")
		users := filepath.Join(dir, "users")
		if out, err := peerCommand(context.Background(), h, dir, peer(t, "pure-pw"), "mkdb", users, "-f",
			passwd).CombinedOutput(); err != nil {
			t.Fatalf("pure-pw: %v\n%s", err, out)
		}
		return []string{peer(t, "pure-ftpd"), "--login", "puredb:" + users, "--noanonymous",
			"--dontresolve", "--bind", ",21", "--minuid", "1", "--pidfile", filepath.Join(dir, "pid")}
	}},
}

// accountWithHome returns an account that vsftpd accepts for anonymous users: it wants
// to see the home directory.
func accountWithHome(t testing.TB) string {
	t.Helper()
	names := []string{"daemon", "ftp", "ftptest"}
	for _, name := range names {
		if u, err := user.Lookup(name); err == nil {
			if _, err := os.Stat(u.HomeDir); err == nil {
				return name
			}
		}
	}
	t.Fatalf("none of the accounts %v is there and has a home directory", names)
	return ""
}

// configure writes a file of a server, in which DIR stands for the directory.
func configure(t testing.TB, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	must(t, os.WriteFile(path, []byte(strings.ReplaceAll(text, "DIR", dir)), 0o600))
	return path
}

// running is a real server with a directory "pub", in which "big" is and others can be put.
type running struct {
	realServer
	pub string
	big []byte
}

// start runs the server on a host until the test ends.
func (s realServer) start(t testing.TB, h *lab.Host) *running {
	t.Helper()
	dir := openDir(t)
	r := &running{realServer: s, pub: filepath.Join(dir, "root/pub"), big: ftptest.Random(300_000, 5)}
	must(t, os.MkdirAll(r.pub, 0o755))
	must(t, os.Chmod(r.pub, 0o777)) // the user that the server becomes writes here
	must(t, os.Mkdir(filepath.Join(dir, "empty"), 0o755))
	must(t, os.WriteFile(filepath.Join(r.pub, "big"), r.big, 0o644))
	line := s.command(t, h, dir)
	for deadline := time.Now().Add(patience); ; {
		// It may have to be started again: a port that a listener of the test had stays taken for as long as
		// a child of another test, between fork and exec, has the listener too.
		if why := s.runs(t, h, dir, line, deadline); why == nil {
			return r
		} else if time.Now().After(deadline) {
			t.Fatal(why)
		}
	}
}

// runs starts the server with a command line, and waits until it greets or ends.
func (s realServer) runs(t testing.TB, h *lab.Host, dir string, line []string, deadline time.Time) error {
	c := peerCommand(context.Background(), h, dir, line[0], line[1:]...)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	must(t, c.Start())
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	for at := h.AddrPort(false, 21); ; {
		greeted, err := ftptest.Dial(context.Background(), h, at)
		if err == nil {
			greeted.Close()
			return nil
		}
		select {
		case err := <-ended:
			return fmt.Errorf("%s ended at once: %w\n%s", s.name, err, &out)
		case <-time.After(20 * time.Millisecond):
			if time.Now().After(deadline) {
				return fmt.Errorf("%s does not answer at %s: %w", s.name, at, err)
			}
		}
	}
}

// openDir is t.TempDir for servers that do not stay root.
func openDir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o755))
	must(t, os.Chmod(filepath.Dir(dir), 0o755))
	return dir
}
