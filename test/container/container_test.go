// Package container tests the program in a container: with podman and runc on a read-only
// root, with NET_ADMIN as its one capability, in the network namespace of a router.
package container

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/test/ftptest"
	"github.com/ftpalg/ftpalg/test/lab"
)

// patience is how long is waited for what must come, on a busy machine.
const patience = time.Minute

const image = "localhost/ftpalg:test"

// engine is podman with storage of its own.
type engine struct {
	t    *testing.T
	args []string
}

// newEngine has an image of the program as it is in this checkout.
func newEngine(t *testing.T) *engine {
	t.Helper()
	for _, name := range []string{"podman", "runc"} {
		if _, err := exec.LookPath(name); err != nil {
			if os.Getenv("FTPALG_REQUIRE_ROOT") == "1" {
				t.Fatalf("%v; test/peers installs it", err)
			}
			t.Skipf("SKIPPED, NOT TESTED: %v", err)
		}
	}
	dir, err := os.MkdirTemp("", "ftpalg-") // podman takes no long name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	e := &engine{t, []string{"--root", filepath.Join(dir, "root"),
		"--runroot", filepath.Join(dir, "run"),
		"--tmpdir", filepath.Join(dir, "tmp"), "--storage-driver", "vfs",
		"--events-backend", "none",
		"--cgroup-manager", "cgroupfs", "--runtime", "runc"}}
	program(t, filepath.Join(dir, "context", "ftpalg"))
	e.must("build", "-q", "-f", "../../deploy/Containerfile.binary", "-t", image, filepath.Join(dir,
		"context"))
	return e
}

// program puts the program under test there: FTPALG_BINARY, or as it is in this checkout.
func program(t *testing.T, file string) {
	t.Helper()
	build := exec.Command("go", "build", "-o", file, "github.com/ftpalg/ftpalg/cmd/ftpalg")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if binary := os.Getenv("FTPALG_BINARY"); binary != "" {
		build = exec.Command("install", "-D", binary, file)
	}
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", build, err, out)
	}
}

// podman runs podman and returns what it says.
func (e *engine) podman(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, "podman", append(e.args[:len(e.args):len(e.args)],
		args...)...).
		CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (e *engine) must(args ...string) string {
	e.t.Helper()
	out, err := e.podman(args...)
	if err != nil {
		e.t.Fatalf("podman %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// run starts the program on a host and returns its container's name.
func (e *engine) run(h *lab.Host, options ...string) string {
	e.t.Helper()
	name := filepath.Base(h.Netns())
	// runc gives a tmpfs the mode of what it covers: after a second start none but root
	// can write to it.
	run := e.t.TempDir()
	if err := os.Chmod(run, 0o777); err != nil {
		e.t.Fatal(err)
	}
	// The limits are lower than podman's own, which not every machine may set.
	args := append([]string{"run", "--detach", "--name", name, "--network", "ns:" + h.Netns(),
		"--cap-drop", "ALL",
		"--cap-add", "NET_ADMIN", "--security-opt", "no-new-privileges", "--read-only",
		"--volume", run + ":/run", "--ulimit", "nofile=1024:1024",
		"--ulimit", "nproc=1024:1024"}, options...)
	e.t.Cleanup(func() {
		if e.t.Failed() {
			log, _ := e.podman("logs", name)
			e.t.Logf("its log:\n%s", log)
		}
		if out, err := e.podman("rm", "--force", "--time", "5", name); err != nil {
			e.t.Errorf("removing the container: %v\n%s", err, out)
		}
	})
	e.must(append(args, image, "run", "--metrics-address", "")...)
	return name
}

// healthy asks the program in the container how it is.
func (e *engine) healthy(name string) error {
	if out, err := e.podman("exec", name, "/ftpalg", "status", "--quiet"); err != nil {
		return errors.New(err.Error() + ": " + out)
	}
	return nil
}

// wait waits until it is well.
func (e *engine) wait(name string) {
	e.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := e.healthy(name)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			e.t.Fatalf("it is not well: %v", err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// ended tells that it has ended, and how.
func (e *engine) ended(name string) string {
	return e.must("inspect", "--format", "{{.State.Running}} {{.State.ExitCode}}", name)
}

func login(t *testing.T, r *lab.Routed) *ftptest.Client {
	t.Helper()
	c, err := ftptest.Dial(context.Background(), r.Client, r.Server.AddrPort(false, 21))
	if err != nil {
		t.Fatal(err)
	}
	c.Timeout = patience
	t.Cleanup(func() { c.Close() })
	if err := c.Login("u", "p"); err != nil {
		t.Fatal(err)
	}
	return c
}

// transfers retrieves a file in every mode.
func transfers(t *testing.T, c *ftptest.Client, want string) {
	t.Helper()
	for _, m := range []ftptest.Mode{ftptest.PASV, ftptest.EPSV, ftptest.PORT, ftptest.EPRT} {
		if got, err := c.Get(m, "file"); err != nil || string(got.Data) != want {
			t.Errorf("%s: %d bytes, %v (%s, answered by %s)", m, len(got.Data), err,
				got.Sent, got.Reply)
		}
	}
}

func TestContainerServesAndComesBack(t *testing.T) {
	lab.NewT(t) // skips or fails without root, before anything is built
	e := newEngine(t)
	for user, options := range map[string][]string{"root": nil, "nobody": {"--user", "65534:65534"}} {
		t.Run(user, func(t *testing.T) {
			r, err := lab.NewT(t).ClientBehindNAT()
			if err != nil {
				t.Fatal(err)
			}
			data := ftptest.Random(100_000, 1)
			s := &ftptest.Server{Network: r.Server, Timeout: patience}
			s.Put("file", data)
			if err := s.Start(r.Server.AddrPort(false, 21)); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
			e := &engine{t, e.args}
			name := e.run(r.Gateway, options...)
			e.wait(name)
			c := login(t, r)
			transfers(t, c, string(data))

			e.must("kill", "--signal", "KILL", name)
			e.must("wait", name)
			if got := e.ended(name); got != "false 137" {
				t.Errorf("killed it is %s", got)
			}
			if err := e.healthy(name); err == nil {
				t.Error("killed it is well")
			}
			e.must("start", name)
			e.wait(name)
			transfers(t, c, string(data))

			e.must("stop", "--time", "20", name)
			if got := e.ended(name); got != "false 0" {
				t.Errorf("stopped it is %s", got)
			}
			e.must("start", name)
			e.wait(name)
			transfers(t, login(t, r), string(data))
		})
	}
}
