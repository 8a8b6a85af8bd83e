package ftptest

import (
	"fmt"
	"net"
	"strings"
	"time"
)

// Wire is how a line is put on the wire. The zero value writes it whole and at
// once, ended by CR LF.
type Wire struct {
	// Split names the offsets at which a new segment begins.
	Split []int
	// Chunk cuts into segments of this size; 1 is byte by byte. Split is
	// then ignored.
	Chunk int
	// Pause is the time between two segments.
	Pause time.Duration
	// Nagle leaves Nagle's algorithm on: a small segment then waits for the
	// acknowledgement of the one before.
	Nagle bool
	// LF ends lines with LF alone.
	LF bool
}

// end ends a line, and the lines before it that text holds, as the wire does.
func (w Wire) end(text string) []byte {
	eol := "\r\n"
	if w.LF {
		eol = "\n"
	}
	return []byte(strings.ReplaceAll(text+"\n", "\n", eol))
}

// write writes b in segments.
func (w Wire) write(c net.Conn, b []byte) error {
	if t, ok := c.(*net.TCPConn); ok {
		if err := t.SetNoDelay(!w.Nagle); err != nil {
			return fmt.Errorf("setting TCP_NODELAY: %w", err)
		}
	}
	for i, segment := range w.segments(b) {
		if i > 0 && w.Pause > 0 {
			time.Sleep(w.Pause)
		}
		if _, err := c.Write(segment); err != nil {
			return fmt.Errorf("writing %q: %w", segment, err)
		}
	}
	return nil
}

func (w Wire) segments(b []byte) (segments [][]byte) {
	rest, done := b, 0
	cut := func(n int) {
		if n > 0 && n < len(rest) {
			segments = append(segments, rest[:n])
			rest, done = rest[n:], done+n
		}
	}
	if w.Chunk > 0 {
		for len(rest) > w.Chunk {
			cut(w.Chunk)
		}
		return append(segments, rest)
	}
	for _, offset := range w.Split {
		cut(offset - done)
	}
	return append(segments, rest)
}
