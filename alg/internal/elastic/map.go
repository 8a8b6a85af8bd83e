package elastic

import (
	"iter"
	"maps"
)

// Map is a map. The zero value is empty and can be used.
type Map[K comparable, V any] struct {
	m    map[K]V
	most int // that m had, since it was made
}

// At returns what is at a key, the zero value if there is nothing.
func (m *Map[K, V]) At(k K) V { return m.m[k] }

// Get returns what is at a key, and whether there is something.
func (m *Map[K, V]) Get(k K) (v V, ok bool) {
	v, ok = m.m[k]
	return v, ok
}

// Len returns how many there are.
func (m *Map[K, V]) Len() int { return len(m.m) }

// All returns all, in no order. Those that are deleted meanwhile do not come.
func (m *Map[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for k, v := range m.m {
			if _, ok := m.m[k]; ok && !yield(k, v) { // else it was deleted, and the map has become another
				return
			}
		}
	}
}

// Set puts v at a key.
func (m *Map[K, V]) Set(k K, v V) {
	if m.m == nil {
		m.m = map[K]V{}
	}
	m.m[k] = v
	m.most = max(m.most, len(m.m))
}

// Delete deletes what is at a key, if there is something.
func (m *Map[K, V]) Delete(k K) {
	delete(m.m, k)
	m.m = Fit(m.m, &m.most)
}

// Clear deletes all.
func (m *Map[K, V]) Clear() { *m = Map[K, V]{} }

const (
	fewest = 64   // what fits in so little is not made smaller,
	few    = 2048 // and no more are copied, so that whoever waits for it does not wait long
	spare  = 8    // Go's map for as many times more is worth it
)

// Fit is for a map that no Map can be, because a generic method is too slow to get from it: it returns m, or
// what takes its place if there is room in m for many more. most is how many m had since it was made.
func Fit[K comparable, V any](m map[K]V, most *int) map[K]V {
	n := len(m)
	if n > few || *most <= spare*max(n, fewest) {
		return m
	}
	left := make(map[K]V, n)
	maps.Copy(left, m)
	*most = n
	return left
}
