package house

import (
	"fmt"
	"go/ast"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
)

// maxMethodFiles is in how many files the methods of one type may stand, but for those in spread.
const maxMethodFiles = 2

// spread are types that have one file for each thing that they do, and how many these are. None may
// come to have more.
var spread = map[string]int{
	"alg/dialogue Dialogue":               6,
	"alg/replay replay":                   8,
	"cmd/ftpalg program":                  11,
	"cmd/ftpalg/internal/demo network":    3,
	"cmd/ftpalg/internal/metrics Metrics": 3,
	"conntrack Conn":                      8,
	"conntrack decoder":                   3,
	"conntrack encoder":                   6,
	"conntrack/nfqueue Queue":             4,
	"conntrack/probe prober":              3,
	"conntrack/ruleset socket":            4,
	"rewrite Conn":                        5,
	"rewrite half":                        4,
	"test/bench bench":                    5,
	"test/lab Host":                       6,
	"test/lab Lab":                        3,
	"test/sim World":                      4,
}

func TestMethodsOfATypeStandTogether(t *testing.T) {
	judge(t, "methods", scattered(sources(t)))
}

// scattered are the types of the program whose methods stand in too many files.
func scattered(all []*source) map[string]string {
	files := map[string]map[string]bool{} // by directory and type
	for _, s := range all {
		if strings.HasSuffix(s.name, "_test.go") {
			continue
		}
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Recv == nil {
				continue
			}
			k := path.Dir(s.name) + " " + receiver(f.Recv.List[0].Type)
			if files[k] == nil {
				files[k] = map[string]bool{}
			}
			files[k][path.Base(s.name)] = true
		}
	}
	found := map[string]string{}
	for k, in := range files {
		most := max(maxMethodFiles, spread[k])
		if len(in) > most {
			found[k] = fmt.Sprintf("its methods stand in %v, at most %d files are allowed",
				slices.Sorted(maps.Keys(in)), most)
		}
	}
	return found
}

// receiver is the name of a method's type.
func receiver(x ast.Expr) string {
	switch x := x.(type) {
	case *ast.StarExpr:
		return receiver(x.X)
	case *ast.IndexExpr:
		return receiver(x.X)
	case *ast.Ident:
		return x.Name
	}
	return ""
}
