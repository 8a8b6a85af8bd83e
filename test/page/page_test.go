package page

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/ftpalg/ftpalg/test/ftptest"
	"github.com/ftpalg/ftpalg/test/lab"
)

const (
	patience   = 60 * time.Second
	background = "getComputedStyle(document.body).backgroundColor"
)

// TestPageInABrowser is one test because the browser is slow to start.
func TestPageInABrowser(t *testing.T) {
	r, err := lab.NewT(t).ClientBehindNAT()
	must(t, err)
	startGateway(t, r.Gateway)
	at := forward(t, r.Gateway)
	c := use(t, r)
	b := startBrowser(t)
	url := "http://" + at + "/"

	t.Run("it is renewed by itself", func(t *testing.T) {
		b.do(t, chromedp.Navigate(url))
		b.until(t, `document.getElementById("live").textContent === "live"`)
		b.want(t, `document.getElementById("refusals").textContent.includes("low_port")`)
		if _, err := c.Cmd("PORT 1,2,3,4,5,6"); err != nil {
			t.Fatal(err)
		}
		b.until(t, `document.getElementById("refusals").textContent.includes("foreign_address")`)
	})
	t.Run("a reader keeps the focus", func(t *testing.T) {
		b.do(t, chromedp.Evaluate(`document.getElementById("refusals-box").focus()`, nil))
		if _, err := c.Cmd("PORT 1,2,3,4,5,6"); err != nil {
			t.Fatal(err)
		}
		b.until(t, `/foreign_address\s*2/.test(document.getElementById("refusals").textContent)`)
		b.want(t, `document.activeElement.id === "refusals-box"`)
	})
	reads(t, b, url)
	looks(t, b, url)
	t.Run("it can be read without scripts", func(t *testing.T) {
		b.do(t, emulation.SetScriptExecutionDisabled(true), chromedp.Navigate(url))
		var text string
		b.do(t, chromedp.Text("#refusals", &text))
		b.do(t, emulation.SetScriptExecutionDisabled(false))
		if !strings.Contains(text, "low_port") {
			t.Errorf("it says %q", text)
		}
	})
	if bad := b.complaints(); len(bad) > 0 {
		t.Errorf("the browser complains: %q", bad)
	}
}

// reads checks what people without a mouse or eyes need, and that strangers cannot add to it.
func reads(t *testing.T, b *browser, url string) {
	t.Run("keys reach all of it", func(t *testing.T) {
		b.do(t, chromedp.Navigate(url), chromedp.KeyEvent(kb.Tab))
		b.want(t, `document.activeElement.className === "skip"`)
		for _, id := range []string{"checks-box", "refusals-box", "sessions-box"} {
			b.do(t, chromedp.KeyEvent(kb.Tab))
			b.want(t, `document.activeElement.id === "`+id+`"`)
		}
	})
	t.Run("a screen reader has names for all of it", func(t *testing.T) {
		b.want(t, `[...document.querySelectorAll("svg,section,[role=region]")]`+
			`.every((e) => e.getAttribute("aria-label"))`)
		b.want(t, `[...document.querySelectorAll("th")].every((e) => e.scope)`)
		b.want(t, `document.documentElement.lang === "en" && document.querySelectorAll("h1").length === 1`)
	})
	t.Run("names of strangers are text", func(t *testing.T) {
		b.want(t, `document.getElementById("sessions").textContent.includes("<b>joe")`)
		b.want(t, `document.querySelector("#sessions td b") === null`)
	})
}

// looks checks light and dark, wide and narrow, and keeps pictures in FTPALG_PICTURES if that is set.
func looks(t *testing.T, b *browser, url string) {
	for _, c := range []struct {
		name, scheme string
		wide, high   int64
	}{
		{"light", "light", 1200, 1000}, {"dark", "dark", 1200, 1000},
		{"phone", "light", 360, 740}, {"phone-dark", "dark", 360, 740},
	} {
		t.Run(c.name, func(t *testing.T) {
			scheme := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: c.scheme}}
			var dark bool
			var picture []byte
			b.do(t, emulation.SetDeviceMetricsOverride(c.wide, c.high, 1, c.wide < 600),
				emulation.SetEmulatedMedia().WithFeatures(scheme), chromedp.Navigate(url),
				chromedp.Evaluate(background+` === "rgb(13, 17, 23)"`, &dark),
				chromedp.FullScreenshot(&picture, 100))
			if dark != (c.scheme == "dark") {
				t.Errorf("dark is %v", dark)
			}
			b.want(t, `document.documentElement.scrollWidth <= innerWidth`) // nothing is cut at the side
			// Nor is a column so narrow that its words become towers.
			b.want(t, `[...document.querySelectorAll("th")].every((e) => e.offsetWidth >= 35)`)
			if dir := os.Getenv("FTPALG_PICTURES"); dir != "" {
				must(t, os.WriteFile(filepath.Join(dir, c.name+".png"), picture, 0o644))
			}
		})
	}
}

// startGateway builds the program and runs it until the test ends.
func startGateway(t *testing.T, h *lab.Host) {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, "ftpalg")
	build := exec.Command("go", "build", "-o", program, "./cmd/ftpalg")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	config := filepath.Join(dir, "ftpalg.yaml")
	must(t, os.WriteFile(config, []byte("http: {sessions: true}\nsocket: {path: off}\n"), 0o600))
	cmd := h.Command(context.Background(), program, "run", "--config", config)
	out, err := cmd.StderrPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Signal(os.Interrupt); _ = cmd.Wait() })
	ready := make(chan string, 1)
	go func() {
		var log strings.Builder
		for s := bufio.NewScanner(out); s.Scan(); {
			log.WriteString(s.Text() + "\n")
			if strings.Contains(s.Text(), "msg=ready") {
				ready <- ""
			}
		}
		ready <- log.String()
	}()
	select {
	case log := <-ready:
		if log != "" {
			t.Fatal(log)
		}
	case <-time.After(patience):
		t.Fatal("the gateway is not ready")
	}
}

// forward makes the page of a gateway reachable on this machine, and returns its address.
func forward(t *testing.T, h *lab.Host) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				d, err := h.DialContext(context.Background(), "tcp", "127.0.0.1:9821")
				if err != nil {
					return
				}
				go func() { _, _ = io.Copy(d, c); _ = d.Close() }()
				_, _ = io.Copy(c, d)
			}()
		}
	}()
	return l.Addr().String()
}

// use has a client with a hostile name transfer, and be refused.
func use(t *testing.T, r *lab.Routed) *ftptest.Client {
	t.Helper()
	s := &ftptest.Server{Network: r.Server, Timeout: patience}
	s.Put("small", ftptest.Random(1000, 2))
	at := r.Server.AddrPort(false, lab.ControlPort)
	must(t, s.Start(at))
	t.Cleanup(func() { _ = s.Close() })
	c, err := ftptest.Dial(t.Context(), r.Client, at)
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	must(t, c.Login("<b>joe", "secret"))
	for _, m := range []ftptest.Mode{ftptest.PORT, ftptest.EPSV} {
		if _, err := c.Get(m, "small"); err != nil {
			t.Fatal(err)
		}
	}
	low := ftptest.FormatPort(netip.AddrPortFrom(c.Local().Addr(), 80))
	if _, err := c.Cmd("PORT " + low); err != nil {
		t.Fatal(err)
	}
	return c
}

// browser is Chromium with one page.
type browser struct {
	ctx context.Context
	mu  sync.Mutex
	bad []string
}

func startBrowser(t *testing.T) *browser {
	t.Helper()
	program := ""
	for _, name := range []string{"chromium-headless-shell", "chromium"} {
		if path, err := exec.LookPath(name); err == nil {
			program = path
			break
		}
	}
	if program == "" {
		t.Fatal("there is no browser: apt-get install chromium-headless-shell")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.NoSandbox,
		chromedp.WSURLReadTimeout(patience), chromedp.Flag("disable-background-networking", true))
	alloc, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	ctx, end := chromedp.NewContext(alloc)
	t.Cleanup(end)
	b := &browser{ctx: ctx}
	chromedp.ListenTarget(ctx, func(e any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		switch e := e.(type) {
		case *runtime.EventExceptionThrown:
			b.bad = append(b.bad, e.ExceptionDetails.Error())
		case *log.EventEntryAdded:
			b.bad = append(b.bad, e.Entry.Text+" "+e.Entry.URL)
		}
	})
	must(t, chromedp.Run(ctx, log.Enable()))
	return b
}

// do has the browser do something, and fails if that takes too long.
func (b *browser) do(t *testing.T, actions ...chromedp.Action) {
	t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	must(t, chromedp.Run(ctx, actions...))
}

// want checks that an expression is true in the page.
func (b *browser) want(t *testing.T, expression string) {
	t.Helper()
	var is bool
	if b.do(t, chromedp.Evaluate(expression, &is)); !is {
		t.Errorf("not so: %s", expression)
	}
}

// until waits until an expression is true in the page.
func (b *browser) until(t *testing.T, expression string) {
	t.Helper()
	b.do(t, chromedp.Poll(expression, nil))
}

// complaints are errors of scripts and what the policy of content forbade.
func (b *browser) complaints() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bad
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
