package storetest

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/awancloud/awan/internal/kernel/store"
)

// Bench measures a store: one and 32 writers, a point read, a page of a long list.
func Bench(b *testing.B, open Factory) {
	b.Run("Update1", func(b *testing.B) { benchUpdate(b, open, 1) })
	b.Run("Update32", func(b *testing.B) { benchUpdate(b, open, 32) })
	b.Run("Get", func(b *testing.B) {
		s, c := filled(b, open), ctx(b)
		for i := 0; b.Loop(); i++ {
			key := row(i * 7919 % rows)
			if err := s.View(c, func(tx store.Tx) error { _, _, err := tx.Get(key); return err }); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Scan100of100000", func(b *testing.B) {
		s, c := filled(b, open), ctx(b)
		for i := 0; b.Loop(); i++ {
			n, after := 0, row(i*7919%(rows-200))
			err := s.View(c, func(tx store.Tx) error {
				for range tx.Scan("row/", after) {
					if n++; n == 100 {
						break
					}
				}
				return nil
			})
			if err != nil || n != 100 {
				b.Fatal(n, err)
			}
		}
	})
}

const rows = 100_000

func row(i int) string { return fmt.Sprintf("row/%08d", i) }

// filled is a store with 100,000 rows of 300 bytes.
func filled(b *testing.B, open Factory) store.Store {
	s, c := start(b, open), ctx(b)
	value := make([]byte, 300)
	for i := 0; i < rows; i += 1000 {
		_, err := s.Update(c, func(tx store.Tx) error {
			for k := i; k < i+1000; k++ {
				if err := tx.Put(row(k), value); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	return s
}

func benchUpdate(b *testing.B, open Factory, writers int) {
	s := start(b, open)
	value := make([]byte, 300)
	c := ctx(b)
	var n atomic.Int64
	b.SetParallelism(writers) // times GOMAXPROCS, hence the budget below
	tokens := make(chan struct{}, writers)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			tokens <- struct{}{}
			_, err := s.Update(c, func(tx store.Tx) error { return tx.Put(row(int(n.Add(1))), value) })
			<-tokens
			if err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "updates/s")
}
