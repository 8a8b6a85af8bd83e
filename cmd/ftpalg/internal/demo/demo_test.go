package demo

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/test/lab"
)

// standIn is the argument that makes the test program a gateway program.
const standIn = "stand-in-gateway"

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == standIn {
		if err := runStandIn(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// runStandIn lets the kernel's own helper do the gateway's work.
func runStandIn() error {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, unix.SIGTERM)
	if err := lab.KernelHelper(21); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "level=INFO msg=ready")
	<-stop
	return nil
}

// run runs the demonstration and checks that it leaves nothing behind.
func run(t *testing.T, ctx context.Context, gateway ...string) (string, error) {
	t.Helper()
	lab.NewT(t) // skips without root
	var out bytes.Buffer
	err := Run(ctx, &out, gateway)
	if left, _ := filepath.Glob(fmt.Sprintf("/run/netns/ftpalg-%d-*", os.Getpid())); len(left) > 0 {
		t.Errorf("it left %v", left)
	}
	return out.String(), err
}

func TestRun(t *testing.T) {
	out, err := run(t, t.Context(), os.Args[0], standIn)
	t.Logf("\n%s", out)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		"   PORT 10,0,13,222,39,136  ",
		"-> PORT 203,0,113,1,39,136\n",
		"   EPRT |2|fd00:13::222|10122|  ",
		"-> EPRT |2|2001:",
		"227 Entering Passive Mode (10,0,1,66,",
		"227 Entering Passive Mode (203,0,113,1,",
		"1048576  failed   ok",
		"All 6 transfers failed without ftpalg and succeeded with it.\n",
	} {
		if !strings.Contains(out, text) {
			t.Errorf("the report lacks %q", text)
		}
	}
}

func TestGatewayThatDoesNothing(t *testing.T) {
	_, err := run(t, t.Context(), "sh", "-c", "echo msg=ready; exec sleep 100")
	for _, text := range []string{
		"active PORT IPv4: failed with ftpalg: the server cannot connect to 10.0.13.222:10120",
		"passive PASV IPv4: failed with ftpalg: the client has no route to 10.0.1.66:",
		"passive EPSV IPv6: failed with ftpalg: the client gets no answer from [2001:db8:113::1]:",
		"It logged:\n  msg=ready",
	} {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("the error lacks %q: %v", text, err)
		}
	}
}

func TestGatewayThatEnds(t *testing.T) {
	_, err := run(t, t.Context(), "sh", "-c", "echo no queue here >&2; exit 3")
	if err == nil || !strings.Contains(err.Error(), "ended before it was ready (exit status 3)\nIt logged:\n"+
		"  no queue here") {
		t.Error(err)
	}
	if _, err := run(t, t.Context(), "/none/such"); err == nil ||
		!strings.Contains(err.Error(), "starting the gateway program") {
		t.Error(err)
	}
}

func TestInterrupted(t *testing.T) {
	for _, after := range []time.Duration{0, 100 * time.Millisecond, 500 * time.Millisecond,
		1700 * time.Millisecond} {
		ctx, cancel := context.WithTimeout(t.Context(), after)
		_, err := run(t, ctx, "sh", "-c", "sleep 100")
		cancel()
		if err == nil || !strings.Contains(err.Error(), "interrupted") {
			t.Errorf("after %s: %v", after, err)
		}
	}
}
