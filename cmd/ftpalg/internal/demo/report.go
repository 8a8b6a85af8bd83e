package demo

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// report writes and remembers the first error.
type report struct {
	out io.Writer
	err error
}

func (r *report) printf(format string, args ...any) {
	if r.err != nil {
		return
	}
	if _, err := fmt.Fprintf(r.out, format, args...); err != nil {
		r.err = fmt.Errorf("writing the report: %w", err)
	}
}

// table prints the outcomes, two lines each: what one end sent, and what the
// other received with ftpalg between them.
func (r *report) table(without, with []outcome) {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "MODE\tFAMILY\tAS SENT -> AS RECEIVED\tPORT\tBYTES\tWITHOUT\tWITH\n")
	for i, x := range trials {
		o := with[i]
		fmt.Fprintf(w, "%s %s\t%s\t   %s\t%d\t%d\t%s\t%s\n", x.kind(), x.mode, x.family(), o.sent, o.port,
			o.bytes, word(without[i].err), word(o.err))
		fmt.Fprintf(w, "\t\t-> %s\t\t\t\t\n", o.received)
	}
	_ = w.Flush() // a buffer takes all
	for line := range strings.Lines(b.String()) {
		r.printf("%s\n", strings.TrimRight(line, " \n"))
	}
	r.printf("\nWhy they failed without:\n")
	for i, x := range trials {
		r.printf("  %-18s %s\n", x, reason(without[i].err))
	}
}

func word(err error) string {
	if err != nil {
		return "failed"
	}
	return "ok"
}

func reason(err error) string {
	if err == nil {
		return "it did not fail"
	}
	return err.Error()
}
