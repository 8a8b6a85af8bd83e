package metrics

import (
	"reflect"
	"sync/atomic"

	"github.com/ftpalg/ftpalg/alg"
)

// Sum returns what workers count together.
func Sum(workers []*alg.Stats) *alg.Stats {
	sum := &alg.Stats{}
	for _, s := range workers {
		add(reflect.ValueOf(sum).Elem(), reflect.ValueOf(s).Elem())
	}
	return sum
}

// add adds each counter in a struct to that in another of its type, so that none is forgotten.
func add(to, of reflect.Value) {
	switch n := to.Addr().Interface().(type) {
	case *atomic.Uint64:
		n.Add(of.Addr().Interface().(*atomic.Uint64).Load())
		return
	case *atomic.Int64:
		n.Add(of.Addr().Interface().(*atomic.Int64).Load())
		return
	}
	switch to.Kind() {
	case reflect.Struct:
		for i := range to.NumField() {
			add(to.Field(i), of.Field(i))
		}
	case reflect.Array:
		for i := range to.Len() {
			add(to.Index(i), of.Index(i))
		}
	}
}
