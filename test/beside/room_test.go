package beside

import (
	"bufio"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/test/lab"
)

// furnish makes the file system of a room, which is the machine's with a tree laid over it, and stays.
const furnish = `set -e
mount --make-rprivate /
mount -t tmpfs room "$2"
mkdir "$2/work" "$2/root"
cp -a "$1" "$2/over"
mount -t overlay room -o "lowerdir=/,upperdir=$2/over,workdir=$2/work" "$2/root"
for d in proc sys dev; do mount --rbind "/$d" "$2/root/$d"; done
mount -t tmpfs room "$2/root/run"
mkdir "$2/root/run/dbus"
echo furnished
exec sleep infinity`

// room is a host with files of its own: what a program writes there is gone with it.
type room struct {
	t    testing.TB
	host *lab.Host
	dir  string
	pid  int
}

// enter makes a room of a host, with the programs of the tree in it.
func enter(t testing.TB, h *lab.Host) *room {
	t.Helper()
	tree := os.Getenv("FTPALG_BESIDE")
	if tree == "" {
		if os.Getenv("FTPALG_REQUIRE_ROOT") == "1" {
			t.Fatal("set FTPALG_BESIDE to what test/beside/programs prints")
		}
		t.Skip("SKIPPED, NOT TESTED: set FTPALG_BESIDE to what test/beside/programs prints")
	}
	dir := t.TempDir()
	c := h.Command(context.Background(), "unshare", "--mount", "sh", "-c", furnish, "room", tree, dir)
	var wrong strings.Builder
	c.Stderr = &wrong
	out, err := c.StdoutPipe()
	must(t, err)
	must(t, c.Start())
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "furnished\n" {
		_ = c.Wait()
		t.Fatalf("making a file system with overlayfs: %s", wrong.String())
	}
	return &room{t: t, host: h, dir: filepath.Join(dir, "root"), pid: c.Process.Pid}
}

// command is a program in the room.
func (r *room) command(ctx context.Context, args ...string) *lab.Cmd {
	in := append([]string{"--mount=/proc/" + strconv.Itoa(r.pid) + "/ns/mnt", "chroot", r.dir,
		"env", "PATH=/usr/sbin:/usr/bin", "LC_ALL=C"}, args...)
	return r.host.Command(ctx, "nsenter", in...)
}

// longest is what a program in the room may take: firewalld and ufw are slow, and the machine may be busy.
const longest = 5 * time.Minute

// run runs a program, which must succeed, and returns what it says.
func (r *room) run(args ...string) string {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	defer cancel()
	out, err := r.command(ctx, args...).CombinedOutput()
	if err != nil {
		r.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// start starts a program that stays, and waits until asking succeeds.
func (r *room) start(ask []string, args ...string) {
	r.t.Helper()
	c := r.command(context.Background(), args...)
	var said strings.Builder
	c.Stdout, c.Stderr = &said, &said
	must(r.t, c.Start())
	for end := time.Now().Add(longest); ; time.Sleep(100 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		out, err := r.command(ctx, ask...).CombinedOutput()
		cancel()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			r.t.Fatalf("%s is not ready: %s", args[0], out)
		}
	}
}

// write writes a file of the room.
func (r *room) write(name, text string) {
	r.t.Helper()
	c := r.command(context.Background(), "tee", name)
	c.Stdin = strings.NewReader(text)
	out, err := c.Output()
	if err != nil {
		r.t.Fatalf("writing %s: %v\n%s", name, err, out)
	}
}
