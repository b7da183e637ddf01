#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes fpu_tables.h: the constants of fpu_trans.c and fpu_fast.c, from series in exact integer arithmetic.

Usage: fpu_tables.py > fpu_tables.h
Every value is rounded to nearest. Qn means a fixed-point number with n fraction bits.
"""
from math import factorial

BITS = 400  # working fraction bits
ONE = 1 << BITS


def rounded(v, bits):
    """v, with BITS fraction bits, as an integer with `bits` of them."""
    s = BITS - bits
    return (v + (1 << (s - 1))) >> s


def atan_of(num, den):
    """atan(num / den), 0 <= num <= den: Euler's series, which converges for all of them."""
    # atan x = sum 2^2n n!^2 / (2n+1)! * x^(2n+1) / (1 + x^2)^(n+1)
    n2, d2 = num * num, num * num + den * den
    term = ONE * num * den // d2
    total, n = 0, 0
    while term:
        total += term
        n += 1
        term = term * 2 * n * n2 // ((2 * n + 1) * d2)
    return total


def log1p_of(num, den):
    """ln((den + num) / den) by 2 atanh(num / (2 den + num))."""
    a, b = num, 2 * den + num
    total, n, p = 0, 0, ONE * a // b
    while p:
        total += p // (2 * n + 1)
        p = p * a * a // (b * b)
        n += 1
    return 2 * total


def exp_of(x):
    total, n, term = 0, 1, ONE
    while term:
        total += term
        term = term * x // (n * ONE)
        n += 1
    return total


def sin_of(x, n=1):
    """sin x; n = 0: cos x."""
    total, term = 0, x if n else ONE
    while term:
        total += term
        term = -(term * x // ONE * x // ((n + 1) * (n + 2) * ONE))
        n += 2
        if abs(term) < 2:
            break
    return total


def cos_of(x):
    return sin_of(x, 0)


LN2 = log1p_of(1, 1)
PI = 4 * (4 * atan_of(1, 5) - atan_of(1, 239))


def lit(v):
    v &= (1 << 128) - 1
    return "FX(0x%016x, 0x%016x)" % (v >> 64, v & (2**64 - 1))


def array(name, comment, values):
    print("\n/* %s */" % comment)
    print("static const u128 %s[%d] = {" % (name, len(values)))
    for v in values:
        print("\t%s," % lit(v))
    print("};")


def words(name, comment, values):
    print("\n/* %s */" % comment)
    print("static const uint64_t %s[%d] = {" % (name, len(values)))
    for v in values:
        print("\tUINT64_C(0x%016x)," % v)
    print("};")


def scaled(n, step, den):
    """n coefficients 1 / den(i) of a series in y = 2^step * x, Q64."""
    return [rounded(ONE // (den(i) << step * i), 64) for i in range(n)]


def scalar(name, comment, v):
    print("\n/* %s */" % comment)
    print("static const u128 %s = %s;" % (name, lit(v)))


def log_table():
    c, log = [], []
    for j in range(128):
        # the reciprocal of the middle of [1 + j/128, 1 + (j+1)/128), exactly 1 and 1/2 at the ends
        k = round(256 * 256 / (257 + 2 * j))
        k = 256 if j == 0 else 128 if j >= 126 else k
        c.append(k)
        v = log1p_of(256 - k, k) * ONE // LN2
        if j >= 53:  # m > sqrt 2, nearly: counted from the next power of two
            v -= ONE
        log.append(rounded(v, 127))
    return c, log


def main():
    c, log = log_table()
    print("/* SPDX-License-Identifier: GPL-2.0-or-later */")
    print("/*\n * Constants of fpu_trans.c and fpu_fast.c. Made by fpu_tables.py: do not edit.\n */")
    print("/* clang-format off */")
    print("#ifndef DEJAVM_FPU_TABLES_H\n#define DEJAVM_FPU_TABLES_H\n")
    print('#include "fpu_arith.h"\n')
    print("#define FX(hi, lo) ((u128)UINT64_C(hi) << 64 | UINT64_C(lo))")
    scalar("fx_ln2", "ln 2, Q128", rounded(LN2, 128))
    scalar("fx_log2e", "1 / ln 2, Q127", rounded(ONE * ONE // LN2, 127))
    scalar("fx_pi", "pi, Q126", rounded(PI, 126))
    array("fx_sin", "1 / (2n + 1)!, Q127", [rounded(ONE // factorial(2 * n + 1), 127) for n in range(15)])
    array("fx_cos", "1 / (2n)!, Q127", [rounded(ONE // factorial(2 * n), 127) for n in range(16)])
    array("fx_exp", "1 / (n + 1)!, Q127", [rounded(ONE // factorial(n + 1), 127) for n in range(15)])
    array("fx_inv", "1 / (n + 1), Q127", [rounded(ONE // (n + 1), 127) for n in range(18)])
    array("fx_atan", "1 / (2n + 1), Q127", [rounded(ONE // (2 * n + 1), 127) for n in range(11)])
    array("fx_exp2_table", "2^(n / 128), Q127", [rounded(exp_of(LN2 * n // 128), 127) for n in range(128)])
    array("fx_sin_table", "sin(n / 64), Q127", [rounded(sin_of(ONE * n // 64), 127) for n in range(52)])
    array("fx_cos_table", "cos(n / 64), Q127", [rounded(cos_of(ONE * n // 64), 127) for n in range(52)])
    array("fx_atan_table", "atan(n / 32), Q126", [rounded(atan_of(n, 32), 126) for n in range(33)])
    array("fx_log2_table", "-log2(fx_recip[n] / 256), less 1 from 53 on; two's complement, Q127", log)
    words("fx64_sin", "1 / (2n + 3)! / 2^(14 n), Q64", scaled(3, 14, lambda i: factorial(2 * i + 3)))
    words("fx64_cos", "1 / (2n + 2)! / 2^(14 n), Q64", scaled(4, 14, lambda i: factorial(2 * i + 2)))
    words("fx64_exp", "1 / (n + 2)! / 2^(7 n), Q64", scaled(7, 7, lambda i: factorial(i + 2)))
    words("fx64_log_even", "1 / (2n + 2) / 2^(14 n), Q64", scaled(5, 14, lambda i: 2 * i + 2))
    words("fx64_log_odd", "1 / (2n + 3) / 2^(14 n + 7), Q64", scaled(4, 14, lambda i: (2 * i + 3) << 7))
    words("fx64_atan", "1 / (2n + 3) / 2^(12 n), Q64", scaled(6, 12, lambda i: 2 * i + 3))
    print("\n/* 256 / (1 + (n + 1/2) / 128) */")
    print("static const uint16_t fx_recip[128] = {")
    for i in range(0, 128, 8):
        print("\t" + " ".join("%d," % v for v in c[i:i + 8]))
    print("};\n\n#endif")


main()
