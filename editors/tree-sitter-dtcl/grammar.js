/**
 * @file The Double-Take Command Language for tree-sitter: statements, blocks, expressions, the words of commands.
 *
 * Which words are keywords of which command is no part of it: queries/highlights.scm has them from the catalogue.
 */
/// <reference types="tree-sitter-cli/dsl" />
// @ts-check

/** A word in any case. It wins over a plain word of the same length, as it comes first in this file; a longer word wins over it. */
const any_case = (text) => new RegExp([...text].map((c) => `[${c.toUpperCase()}${c.toLowerCase()}]`).join(''));
const word_of = (text) => token(any_case(text));
const list = (rule) => optional(seq(rule, repeat(seq(',', rule))));

module.exports = grammar({
  name: 'dtcl',

  // Blanks, and what continues a line.
  extras: ($) => [/[ \t]/, $._continued],

  rules: {
    script: ($) => optional($._body),

    _continued: (_) => token(prec(5, /\\[ \t]*\r?\n/)),
    _body: ($) => choice($._statement, seq(repeat1(seq(optional($._statement), $._end)), optional($._statement))),
    _end: ($) => choice(seq(optional($.comment), /\r?\n/), ';'),

    comment: (_) => token(prec(1, /#[^\n]*/)),
    line_comment: (_) => token(prec(3, /\/\/[^\n]*/)),

    _statement: ($) =>
      choice(
        alias($.line_comment, $.comment),
        $.if,
        $.while,
        $.for,
        $.on_error,
        $.assignment,
        $.scheduled,
        $.command,
        $.call,
        alias(choice(word_of('break'), word_of('continue'), word_of('return')), $.keyword),
      ),

    // ---- blocks ----

    if: ($) =>
      seq(
        $._if,
        field('condition', $._expression),
        $._then,
        optional($._body),
        repeat($.elseif),
        optional($.else),
        $._endif,
      ),
    elseif: ($) => seq($._elseif, field('condition', $._expression), $._then, optional($._body)),
    else: ($) => seq($._else, optional($._body)),
    while: ($) => seq($._while, field('condition', $._expression), $._do, optional($._body), $._endwhile),
    for: ($) =>
      seq(
        $._for,
        choice(
          seq($.variable, '=', $._expression, $._to, $._expression, optional(seq($._step, $._expression))),
          seq($._each, $.variable, $._in, $._expression),
        ),
        $._do,
        optional($._body),
        $._endfor,
      ),
    on_error: ($) =>
      seq($._on, $._error, choice($._continue, $._stop, seq($._do, optional($._body), $._end_word))),

    _if: ($) => alias(word_of('if'), $.keyword),
    _then: ($) => alias(word_of('then'), $.keyword),
    _elseif: ($) => alias(word_of('elseif'), $.keyword),
    _else: ($) => alias(word_of('else'), $.keyword),
    _while: ($) => alias(word_of('while'), $.keyword),
    _do: ($) => alias(word_of('do'), $.keyword),
    _for: ($) => alias(word_of('for'), $.keyword),
    _each: ($) => alias(word_of('each'), $.keyword),
    _in: ($) => alias(word_of('in'), $.keyword),
    _to: ($) => alias(word_of('to'), $.keyword),
    _step: ($) => alias(word_of('step'), $.keyword),
    _on: ($) => alias(word_of('on'), $.keyword),
    _error: ($) => alias(word_of('error'), $.keyword),
    _continue: ($) => alias(word_of('continue'), $.keyword),
    _stop: ($) => alias(word_of('stop'), $.keyword),
    _end_word: ($) => alias(word_of('end'), $.keyword),
    _endif: ($) => choice($._end_word, alias(word_of('endif'), $.keyword)),
    _endwhile: ($) => choice($._end_word, alias(word_of('endwhile'), $.keyword)),
    _endfor: ($) => choice($._end_word, alias(word_of('endfor'), $.keyword)),

    // ---- statements ----

    assignment: ($) => seq(field('variable', $.variable), '=', field('value', choice($._expression, $.command))),

    command: ($) => seq(field('name', alias($._name, $.word)), repeat($.argument)),
    // Directly after its target END is a word of SCHEDULE.
    scheduled: ($) =>
      prec.right(
        seq(
          alias(word_of('schedule'), $.word),
          optional(seq($.argument, optional(alias($._end_word, $.argument)), repeat($.argument))),
        ),
      ),
    argument: ($) => choice($.word, $.string, $.interpolated, $._reference, $.group, '=', ','),

    _name: (_) => /[A-Za-z_\u0080-\uffff][^\s"',;=()<>]*/,
    word: (_) => /[^\s"',;=()<>#$][^\s"',;=()<>]*/,

    // ---- expressions ----

    _expression: ($) => choice($._operand, $.unary, $.binary),

    unary: ($) => choice(prec(7, seq('-', $._expression)), prec(3, seq(alias(word_of('not'), $.logical), $._expression))),
    binary: ($) =>
      choice(
        prec.left(1, seq($._expression, alias(word_of('or'), $.logical), $._expression)),
        prec.left(2, seq($._expression, alias(word_of('and'), $.logical), $._expression)),
        prec.left(4, seq($._expression, alias($._comparison, $.operator), $._expression)),
        prec.left(5, seq($._expression, alias(choice('+', '-'), $.operator), $._expression)),
        prec.left(6, seq($._expression, alias(choice('*', '/', '%'), $.operator), $._expression)),
      ),
    _comparison: (_) => choice('=', '==', '<>', '!=', '<', '<=', '>', '>='),

    _operand: ($) =>
      choice(
        $.integer,
        $.date,
        $.time,
        $.boolean,
        $.string,
        $.interpolated,
        $._reference,
        $.group,
        $.list,
        $.call,
        alias($._negated_group, $.unary),
        $.index,
        $.member,
      ),

    _reference: ($) => choice($.variable, alias($._variable_index, $.index), alias($._variable_member, $.member)),
    _variable_index: ($) =>
      prec(9, seq($._reference, token.immediate(prec(1, '[')), $._expression, ']')),
    _variable_member: ($) => prec(9, seq($._reference, $.field)),

    index: ($) => prec(8, seq(choice($.call, $.group, $.list, $.interpolated, $.index, $.member), token.immediate(prec(1, '[')), $._expression, ']')),
    member: ($) => prec(8, seq(choice($.call, $.group, $.list, $.interpolated, $.index, $.member), $.field)),
    field: (_) => token.immediate(prec(1, /\.[A-Za-z_\u0080-\uffff][A-Za-z0-9_\u0080-\uffff]*/)),

    group: ($) => seq('(', $._expression, ')'),
    list: ($) => seq('[', list($._expression), ']'),
    // The parenthesis tells a call from a command.
    call: ($) => seq(field('function', $.function), list($._expression), ')'),
    function: (_) =>
      /[A-Za-z_\u0080-\uffff][A-Za-z0-9_\u0080-\uffff]*(::[A-Za-z_\u0080-\uffff][A-Za-z0-9_\u0080-\uffff]*)?\(/,
    _negated_group: ($) => seq(alias(token(prec(3, /[nN][oO][tT]\(/)), $.logical), $._expression, ')'),

    variable: (_) => /\$[A-Za-z0-9_\u0080-\uffff]+/,
    integer: (_) => token(prec(1, /\d+/)),
    date: (_) => token(prec(2, /\d{1,2}\/\d{1,2}\/(\d{4}|\d{2})/)),
    time: (_) => token(prec(2, /\d{1,2}:\d{2}(:\d{2})?/)),
    boolean: (_) => token(prec(1, choice(any_case('true'), any_case('false')))),

    string: (_) => token(choice(/"([^"\n]|"")*"/, /'([^'\n]|'')*'/)),
    interpolated: ($) =>
      seq('$"', repeat(choice(token.immediate(prec(1, /[^"{}\n]+/)), $.escape, $.hole)), token.immediate('"')),
    escape: (_) => token.immediate(/""|\{\{|\}\}/),
    hole: ($) => seq(token.immediate('{'), $._expression, '}'),
  },
});
