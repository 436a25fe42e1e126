package cloud

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"
)

// fill gives everything that a row can hold a value, so that nothing is nil.
func fill(v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)))
			return
		}
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				fill(v.Field(i), depth)
			}
		}
	case reflect.Pointer:
		if depth < 6 { // a type may hold itself
			v.Set(reflect.New(v.Type().Elem()))
			fill(v.Elem(), depth+1)
		}
	case reflect.Slice:
		if v.Type() == reflect.TypeFor[json.RawMessage]() {
			v.SetBytes([]byte("{}"))
			return
		}
		if depth < 6 {
			v.Set(reflect.MakeSlice(v.Type(), 2, 2))
			fill(v.Index(0), depth+1)
			fill(v.Index(1), depth+1)
		}
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, depth+1)
		fill(value, depth+1)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(7)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(7)
	case reflect.Float32, reflect.Float64:
		v.SetFloat(7)
	case reflect.Interface:
		v.Set(reflect.ValueOf(map[string]any{"a": []any{"b"}}))
	}
}

// shared names the parts that two values have in common.
func shared(at string, a, b reflect.Value) (out []string) {
	if a.Kind() != b.Kind() || !a.IsValid() {
		return nil
	}
	switch a.Kind() {
	case reflect.Struct:
		for i := range a.NumField() {
			if a.Type().Field(i).IsExported() {
				out = append(out, shared(at+"."+a.Type().Field(i).Name, a.Field(i), b.Field(i))...)
			}
		}
	case reflect.Pointer, reflect.Map, reflect.Slice:
		if a.IsNil() || b.IsNil() {
			return nil
		}
		if a.Pointer() == b.Pointer() && (a.Kind() != reflect.Slice || a.Len() > 0) {
			return []string{at}
		}
		switch a.Kind() {
		case reflect.Pointer:
			return shared(at, a.Elem(), b.Elem())
		case reflect.Slice:
			for i := range min(a.Len(), b.Len()) {
				out = append(out, shared(fmt.Sprint(at, "[", i, "]"), a.Index(i), b.Index(i))...)
			}
		default:
			for _, k := range a.MapKeys() {
				out = append(out, shared(fmt.Sprint(at, "[", k, "]"), a.MapIndex(k), b.MapIndex(k))...)
			}
		}
	case reflect.Interface:
		return shared(at, a.Elem(), b.Elem())
	}
	return out
}

// TestAClonedRowSharesNothing with the row that it was made of, which others may be reading: of every kind.
func TestAClonedRowSharesNothing(t *testing.T) {
	for _, k := range described() {
		row := k.New()
		fill(reflect.ValueOf(row).Elem(), 0)
		was, err := json.Marshal(row)
		if err != nil {
			t.Fatalf("%s: %v", k.FullName(), err)
		}
		clone := k.Clone(row)
		if now, err := json.Marshal(clone); err != nil || string(now) != string(was) {
			t.Errorf("%s: the clone is %s, the row %s: %v", k.FullName(), now, was, err)
		}
		for _, at := range shared(k.FullName(), reflect.ValueOf(row).Elem(), reflect.ValueOf(clone).Elem()) {
			t.Errorf("%s is of both", at)
		}
	}
}
