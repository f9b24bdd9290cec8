/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Sums, products and quotients are all that is used, and IEEE 754 says what these are to the
 * last bit; frexp(), ldexp() and floor() are exact. */

#include "config.h"

#include "tandem-evolve-math-private.h"

#include <math.h>
#include <stdlib.h>

/* The upper bits of log 2, whose product with a small whole number is exact, and the rest. */
#define LOG2_HIGH 0.693147180369123816490
#define LOG2_LOW 1.90821492927058770002e-10

#define MOST_DIGITS 17

double
tandem_evolve_log (double x)
{
  int exponent, i;
  double m = frexp (x, &exponent), s, square, sum = 0.0;

  if (m < G_SQRT2 / 2.0) {
    m *= 2.0;
    exponent--;
  }
  /* log m = 2 artanh ((m - 1) / (m + 1)), as its series. */
  s = (m - 1.0) / (m + 1.0);
  square = s * s;
  for (i = 21; i >= 1; i -= 2)
    sum = sum * square + 1.0 / i;
  return exponent * LOG2_HIGH + (exponent * LOG2_LOW + 2.0 * s * sum);
}

double
tandem_evolve_exp (double x)
{
  double whole = floor (x / G_LN2 + 0.5), rest = x - whole * LOG2_HIGH - whole * LOG2_LOW;
  double sum = 1.0;
  int i;

  for (i = 14; i >= 1; i--)
    sum = 1.0 + sum * rest / i;
  return ldexp (sum, (int) whole);
}

double
tandem_evolve_power (double x, double y)
{
  return tandem_evolve_exp (y * tandem_evolve_log (x));
}

void
tandem_evolve_append_number (GString *text, double value)
{
  char buffer[G_ASCII_DTOSTR_BUF_SIZE], format[8];
  int digits;

  for (digits = 15; digits <= MOST_DIGITS; digits++) {
    g_snprintf (format, sizeof format, "%%.%dg", digits);
    g_ascii_formatd (buffer, sizeof buffer, format, value);
    if (g_ascii_strtod (buffer, NULL) == value)
      break;
  }
  g_string_append (text, buffer);
}

void
tandem_evolve_append_string (GString *text, const char *value)
{
  const char *next;

  g_string_append_c (text, '"');
  for (next = value; *next != '\0'; next++) {
    guchar c = *next;

    if (c == '"' || c == '\\')
      g_string_append_printf (text, "\\%c", c);
    else if (c < 0x20 || c == 0x7f)
      g_string_append_printf (text, "\\u%04x", c);
    else
      g_string_append_c (text, c);
  }
  g_string_append_c (text, '"');
}
