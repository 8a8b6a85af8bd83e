package elastic

import (
	"math/rand/v2"
	"runtime"
	"testing"
)

func TestMapHasWhatWasSetAndNotWhatWasDeleted(t *testing.T) {
	var m Map[int, int]
	has := map[int]int{}
	r := rand.New(rand.NewPCG(1, 2))
	for step := range 200_000 {
		k := r.IntN(20_000)
		if deletes := step/50_000%2 == 1; deletes || r.IntN(8) == 0 {
			m.Delete(k)
			delete(has, k)
		} else {
			m.Set(k, step+1)
			has[k] = step + 1
		}
		v, ok := m.Get(k)
		if ok != (has[k] != 0) || v != has[k] || m.At(k) != v || m.Len() != len(has) {
			t.Fatalf("step %d: %d at %d, %d in all, want %d and %d", step, v, k, m.Len(), has[k], len(has))
		}
	}
	for k, v := range m.All() {
		if has[k] != v {
			t.Errorf("%d is %d, want %d", k, v, has[k])
		}
		delete(has, k)
	}
	if len(has) != 0 {
		t.Errorf("%d are missing", len(has))
	}
	if m.Clear(); m.Len() != 0 {
		t.Errorf("%d are left", m.Len())
	}
}

func TestWhatIsDeletedBeforeItsTurnDoesNotCome(t *testing.T) {
	var m Map[int, int]
	for i := range 8 * fewest * spare {
		m.Set(i, i)
	}
	came := 0
	for k := range m.All() {
		if came++; m.Len() > 1 {
			for other := range 8 * fewest * spare {
				if other != k {
					m.Delete(other)
				}
			}
		}
	}
	if came != 1 {
		t.Errorf("%d came, all but the first were deleted", came)
	}
}

func TestMapOfWhichLittleIsLeftIsSmallAgain(t *testing.T) {
	heap := func() uint64 {
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return s.HeapAlloc
	}
	const n, left = 100_000, 10
	var m Map[int, [4]int]
	before := heap()
	for i := range n {
		m.Set(i, [4]int{})
	}
	full := heap()
	for i := left; i < n; i++ {
		m.Delete(i)
	}
	if after := heap(); after-before > (full-before)/100 {
		t.Errorf("it has %d bytes for %d of %d, and had %d", after-before, left, n, full-before)
	}
	if _, ok := m.Get(left - 1); !ok || m.Len() != left {
		t.Errorf("%d are left, want %d", m.Len(), left)
	}
}
