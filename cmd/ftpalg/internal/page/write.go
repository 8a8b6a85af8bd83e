package page

import (
	"bytes"
	"fmt"
	"html"
)

// writer writes HTML. It is used in place of html/template, which adds 4 MB to the program, because
// text/template keeps the linker from leaving out methods that nobody calls.
type writer struct{ bytes.Buffer }

// put writes a format that is HTML. Arguments may stand in text and within the double quotes of attributes
// that hold no address, style or script; strings, and what writes itself as text, are escaped.
func (w *writer) put(format string, args ...any) {
	for i, a := range args {
		switch a := a.(type) {
		case int, int64, uint64, float64:
		case string:
			args[i] = html.EscapeString(a)
		default:
			args[i] = html.EscapeString(fmt.Sprint(a))
		}
	}
	fmt.Fprintf(&w.Buffer, format, args...)
}
