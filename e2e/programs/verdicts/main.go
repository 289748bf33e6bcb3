// The verdicts of GitOps tools on objects: of kstatus (kubectl's plugins, Flux), of Flux with
// health check expressions, and of Argo CD with a health check in Lua.
//
// In: a JSON list of questions on standard input. Out: a JSON list of the verdicts in the same
// order.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/runtime/cel"
	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Without expressions and without Lua, kstatus is asked.
type question struct {
	Object      unstructured.Unstructured         `json:"object"`
	Expressions *kustomize.HealthCheckExpressions `json:"expressions"`
	Lua         string                            `json:"lua"`
}

type verdict struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

func judge(asked question) (verdict, error) {
	if asked.Lua != "" {
		return argo(asked.Lua, asked.Object.Object)
	}
	result, err := flux(asked)
	if err != nil {
		return verdict{}, err
	}
	return verdict{string(result.Status), result.Message}, nil
}

func flux(asked question) (*status.Result, error) {
	if asked.Expressions == nil {
		return status.Compute(&asked.Object)
	}
	evaluator, err := cel.NewStatusEvaluator(asked.Expressions)
	if err != nil {
		return nil, err
	}
	return evaluator.Evaluate(context.Background(), &asked.Object)
}

// argo runs a health check as Argo CD does: the same interpreter, and only the libraries that Argo
// CD opens. There is no string library.
func argo(script string, object map[string]any) (verdict, error) {
	vm := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer vm.Close()
	for name, open := range map[string]lua.LGFunction{
		lua.LoadLibName: lua.OpenPackage,
		lua.BaseLibName: lua.OpenBase,
		lua.TabLibName:  lua.OpenTable,
	} {
		vm.Push(vm.NewFunction(open))
		vm.Push(lua.LString(name))
		vm.Call(1, 0)
	}
	vm.SetGlobal("obj", value(vm, object))
	if err := vm.DoString(script); err != nil {
		return verdict{}, err
	}
	health, ok := vm.Get(-1).(*lua.LTable)
	if !ok {
		return verdict{}, fmt.Errorf("the script returned %s, and not a table", vm.Get(-1).Type())
	}
	text := func(key string) string { return health.RawGetString(key).String() }
	return verdict{text("status"), text("message")}, nil
}

func value(vm *lua.LState, from any) lua.LValue {
	switch from := from.(type) {
	case bool:
		return lua.LBool(from)
	case float64:
		return lua.LNumber(from)
	case int64:
		return lua.LNumber(from)
	case string:
		return lua.LString(from)
	case []any:
		table := vm.NewTable()
		for _, item := range from {
			table.Append(value(vm, item))
		}
		return table
	case map[string]any:
		table := vm.NewTable()
		for key, item := range from {
			table.RawSetString(key, value(vm, item))
		}
		return table
	}
	return lua.LNil
}

func run() error {
	var questions []question
	if err := json.NewDecoder(os.Stdin).Decode(&questions); err != nil {
		return err
	}
	verdicts := make([]verdict, 0, len(questions))
	for _, asked := range questions {
		found, err := judge(asked)
		if err != nil {
			return fmt.Errorf("%s: %w", asked.Object.GetName(), err)
		}
		verdicts = append(verdicts, found)
	}
	return json.NewEncoder(os.Stdout).Encode(verdicts)
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "verdicts:", err)
		os.Exit(1)
	}
}
