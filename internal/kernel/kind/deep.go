package kind

import (
	"reflect"
	"sync"
	"time"
)

// deepen gives v, whose value was copied, maps, slices and pointers of its own: what two rows would else share. It is what
// reading the row's JSON anew would give, in a fraction of the time.
func deepen(v reflect.Value) {
	if f := deepenerOf(v.Type()); f != nil {
		f(v)
	}
}

type deepener func(reflect.Value)

var deepeners sync.Map // reflect.Type -> deepener; nil where values of the type share nothing

func deepenerOf(t reflect.Type) deepener {
	if f, ok := deepeners.Load(t); ok {
		return f.(deepener)
	}
	deepeners.Store(t, deepener(deepen)) // for a type that holds itself: it is looked up again when there is a value
	f := newDeepener(t)
	deepeners.Store(t, f)
	return f
}

func newDeepener(t reflect.Type) deepener {
	switch t.Kind() {
	case reflect.Struct:
		return deepStruct(t)
	case reflect.Pointer:
		in := deepenerOf(t.Elem())
		return func(v reflect.Value) {
			if v.IsNil() {
				return
			}
			own := reflect.New(t.Elem())
			own.Elem().Set(v.Elem())
			if in != nil {
				in(own.Elem())
			}
			v.Set(own)
		}
	case reflect.Slice:
		in := deepenerOf(t.Elem())
		return func(v reflect.Value) {
			if v.IsNil() {
				return
			}
			own := reflect.MakeSlice(t, v.Len(), v.Len())
			reflect.Copy(own, v)
			if in != nil {
				for i := range own.Len() {
					in(own.Index(i))
				}
			}
			v.Set(own)
		}
	case reflect.Map:
		return deepMap(t)
	case reflect.Array:
		in := deepenerOf(t.Elem())
		if in == nil {
			return nil
		}
		return func(v reflect.Value) {
			for i := range v.Len() {
				in(v.Index(i))
			}
		}
	case reflect.Interface:
		return func(v reflect.Value) {
			if v.IsNil() {
				return
			}
			own := reflect.New(v.Elem().Type()).Elem()
			own.Set(v.Elem())
			deepen(own)
			v.Set(own)
		}
	}
	return nil
}

func deepStruct(t reflect.Type) deepener {
	if t == reflect.TypeFor[time.Time]() {
		return nil
	}
	type part struct {
		at int
		in deepener
	}
	var parts []part
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() && (!f.Anonymous || f.Type.Kind() != reflect.Struct) { // what a type hides it does not change, as netip.Addr
			continue
		}
		if in := deepenerOf(f.Type); in != nil {
			parts = append(parts, part{i, in})
		}
	}
	if len(parts) == 0 {
		return nil
	}
	return func(v reflect.Value) {
		for _, p := range parts {
			p.in(v.Field(p.at))
		}
	}
}

func deepMap(t reflect.Type) deepener {
	in := deepenerOf(t.Elem())
	return func(v reflect.Value) {
		if v.IsNil() {
			return
		}
		own := reflect.MakeMapWithSize(t, v.Len())
		for k, x := range v.Seq2() {
			if in != nil {
				y := reflect.New(t.Elem()).Elem()
				y.Set(x)
				in(y)
				x = y
			}
			own.SetMapIndex(k, x)
		}
		v.Set(own)
	}
}
