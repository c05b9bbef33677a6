// Result<T>: the value, or an Error that says what is wrong and what to do about it.
//
// A Result must be looked at (it is nodiscard). TRY and TRY_VOID return early with the error; together with
// CHECK they are the only macros of this code base. We throw nothing: a library that throws is wrapped in the
// one file that uses it.
#pragma once

#include <expected>
#include <string>
#include <utility>
#include <vector>

namespace fwtrace::base {

// What kind of failure this is; decides the exit status (design: 2 usage, 3 input, 4 permission or kernel).
enum class ErrorKind { Usage, Input, Permission };

struct Error {
  ErrorKind kind = ErrorKind::Input;
  std::string message;             // lower case, no full stop, what the user typed in quotes
  std::vector<std::string> hints;  // what to do about it, one line each
};

template <class T>
class [[nodiscard]] Result : public std::expected<T, Error> {
 public:
  using std::expected<T, Error>::expected;
};

inline std::unexpected<Error> fail(ErrorKind kind, std::string message, std::vector<std::string> hints = {}) {
  return std::unexpected<Error>(Error{kind, std::move(message), std::move(hints)});
}

}  // namespace fwtrace::base

#define FWTRACE_CONCAT2(a, b) a##b
#define FWTRACE_CONCAT(a, b) FWTRACE_CONCAT2(a, b)

// TRY(auto value, expression): `value` is the result's value, or this function returns the error.
#define TRY(declaration, expression)                                           \
  auto FWTRACE_CONCAT(try_, __LINE__) = (expression);                          \
  if (!FWTRACE_CONCAT(try_, __LINE__))                                         \
    return std::unexpected(std::move(FWTRACE_CONCAT(try_, __LINE__).error())); \
  declaration = std::move(*FWTRACE_CONCAT(try_, __LINE__))

#define TRY_VOID(expression) \
  if (auto try_result = (expression); !try_result) return std::unexpected(std::move(try_result.error()))
