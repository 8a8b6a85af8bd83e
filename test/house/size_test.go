package house

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/token"
	"strings"
	"testing"
	"unicode/utf8"
)

const (
	maxFile     = 350 // lines
	maxFunction = 45  // lines, of which composite literals are not counted
	maxWidth    = 110 // columns
	tab         = 4   // columns of a tab
)

func TestFilesAreShort(t *testing.T) {
	judge(t, "file", longFiles(sources(t)))
}

func longFiles(all []*source) map[string]string {
	found := map[string]string{}
	for _, s := range all {
		if n := bytes.Count(s.text, []byte("\n")); n > maxFile {
			found[s.name] = fmt.Sprintf("%d lines, at most %d are allowed", n, maxFile)
		}
	}
	return found
}

func TestFunctionsAreShort(t *testing.T) {
	judge(t, "function", longFunctions(sources(t)))
}

func longFunctions(all []*source) map[string]string {
	found := map[string]string{}
	for _, s := range all {
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Body == nil {
				continue
			}
			if n := s.lines(f) - s.tables(f); n > maxFunction {
				found[s.name+" "+f.Name.Name] = fmt.Sprintf("%d lines, at most %d are allowed",
					n, maxFunction)
			}
		}
	}
	return found
}

// lines is how many a node has.
func (s *source) lines(n ast.Node) int { return s.line(n.End()) - s.line(n.Pos()) + 1 }

func (s *source) line(p token.Pos) int { return s.set.Position(p).Line }

// tables is how many lines lie within composite literals, beyond the one that each
// begins on. Functions in them are no tables.
func (s *source) tables(f *ast.FuncDecl) (n int) {
	ast.Inspect(f, func(node ast.Node) bool {
		c, ok := node.(*ast.CompositeLit)
		if !ok {
			return true
		}
		n += s.lines(c) - 1
		ast.Inspect(c, func(within ast.Node) bool {
			code, ok := within.(*ast.FuncLit)
			if ok {
				n -= s.lines(code) - 1
			}
			return !ok
		})
		return false
	})
	return n
}

func TestLinesAreNarrow(t *testing.T) {
	judge(t, "width", wideLines(sources(t)))
}

func wideLines(all []*source) map[string]string {
	found := map[string]string{}
	for _, s := range all {
		number := 0
		for line := range bytes.Lines(s.text) {
			number++
			n := width(string(bytes.TrimRight(line, "\n")))
			if _, known := found[s.name]; n > maxWidth && !known {
				found[s.name] = fmt.Sprintf("line %d has %d columns, at most %d are allowed",
					number, n, maxWidth)
			}
		}
	}
	return found
}

// width is how many columns a line takes.
func width(line string) int {
	return utf8.RuneCountInString(line) + (tab-1)*strings.Count(line, "\t")
}
