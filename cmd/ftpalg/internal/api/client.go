package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// maxAnswer bounds what a client reads of an answer that comes at once, in bytes.
const maxAnswer = 256 << 20

// Client asks the program that listens on a Unix socket.
type Client struct {
	path string
	http http.Client
}

// NewClient returns one for the socket at path.
func NewClient(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
	return &Client{path: path, http: http.Client{Transport: &http.Transport{DialContext: dial}}}
}

// Get asks for one of the answers that come at once.
func (c *Client) Get(ctx context.Context, what string, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	body, err := c.open(ctx, what)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	if err := json.NewDecoder(io.LimitReader(body, maxAnswer)).Decode(answer); err != nil {
		return fmt.Errorf("read the answer of the gateway on %s: %w", c.path, err)
	}
	return nil
}

// Follow calls fn for each event until ctx is done or the gateway ends.
func (c *Client) Follow(ctx context.Context, fn func(*Event) error) error {
	body, err := c.open(ctx, "events")
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		var e Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("read an event of the gateway on %s: %w", c.path, err)
		}
		if err := fn(&e); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("read the events of the gateway on %s: %w", c.path, err)
	}
	return nil
}

func (c *Client) open(ctx context.Context, what string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://ftpalg/v1/"+what, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the gateway on %s: %w; is ftpalg running, with this socket.path, "+
			"and may you open it?", c.path, err)
	}
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		_ = resp.Body.Close()
		return nil, fmt.Errorf("the gateway on %s answers %s: %s", c.path, resp.Status, text)
	}
	return resp.Body, nil
}
